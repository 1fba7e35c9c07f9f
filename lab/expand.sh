#!/bin/bash
# expand.sh [-o DIR] FILE.raw.xz [FORM...] - unpack a packed dump beside itself
# (or in DIR) and make other containers of it, named FILE.FORM: zlib lzo zstd
# snappy flat split.  What is already there stays.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=
[ "${1:-}" != -o ] || { dir=$2; shift 2; }
[ $# -gt 0 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
file=$1; shift
dir=${dir:-$(dirname "$file")}
base=$dir/$(basename "$file" .raw.xz)
mkdir -p "$dir"
log=$(mktemp)
part=$(mktemp "$base.raw.part.XXXXXX")
trap 'rm -f "$part" "$log"' EXIT
if [ ! -e "$base.raw" ]; then
  xz -dc "$file" >"$part"
  chmod 644 "$part"
  mv "$part" "$base.raw"
fi
for form in "$@"; do
  result=$base.$form
  [ "$form" != split ] || result=$base.split.3
  [ ! -e "$result" ] || continue
  "$here/container.sh" "$form" "$base.raw" "$base" >"$log" 2>&1 ||
    { echo "expand.sh: $form of $file failed: $(tail -n 1 "$log")" >&2; exit 1; }
done
