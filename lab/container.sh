#!/bin/bash
# container.sh FORM SOURCE BASE - filter SOURCE (a raw ELF vmcore or a kdump
# file) into BASE.FORM:
#   zlib lzo zstd snappy   kdump-compressed
#   raw                    the same with pages as they are
#   flat                   a flattened stream of zlib pages
#   split                  BASE.split.1 to 3, zlib pages
#   elf                    ELF; SOURCE must be ELF
#   d0 d1                  zlib with no filter, with zero pages dropped
# LEVEL is what is left out (31: all that makedumpfile can), except in d0 and d1.
# MAKEDUMPFILE names another makedumpfile, "newest" that of the newest suite.
# Debian 12's knows neither zstd nor snappy: zstd always takes the newest.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
form=$1 source=$2 base=$3 level=${LEVEL:-31}
tool=("${MAKEDUMPFILE:-makedumpfile}")
[ "${tool[0]}" != newest ] && [ "$form" != zstd ] || tool=("$here/newest.sh" makedumpfile)
# no progress bars
tool+=(--message-level 6)
part=$(mktemp -d "$base.$form.part.XXXXXX")
trap 'rm -rf "$part"' EXIT
out=$part/dump
filter() { echo "+ makedumpfile $*"; "${tool[@]}" "$@" "$source" "$out"; }
want= # the compression that the header must name
case $form in
zlib) filter -c -d "$level"; want=1 ;;
lzo) filter -l -d "$level"; want=2 ;;
snappy) filter -p -d "$level"; want=4 ;;
zstd) filter -z -d "$level"; want=32 ;;
raw) filter -d "$level"; want=0 ;;
elf) filter -E -d "$level" ;;
d0) filter -c -d 0; want=1 ;;
d1) filter -c -d 1; want=1 ;;
flat) "${tool[@]}" -F -c -d "$level" "$source" >"$out" ;;
split)
  "${tool[@]}" -c -d "$level" --split --splitblock-size 4096 "$source" "$out.1" "$out.2" "$out.3"
  chmod 644 "$out".?
  for i in 1 2 3; do mv "$out.$i" "$base.split.$i"; done
  exit
  ;;
*) echo "container.sh: no such form: $form" >&2; exit 2 ;;
esac
if [ -n "$want" ]; then
  got=$(($(od -An -tu4 -j424 -N4 "$out") & 39))
  [ "$got" -eq "$want" ] || { echo "container.sh: this makedumpfile does not know $form" >&2; exit 1; }
fi
chmod 644 "$out"
mv "$out" "$base.$form"
