#!/bin/bash
# newest.sh PROGRAM [ARGUMENT...] - run PROGRAM of Debian's newest suite with
# that suite's own libraries; nothing is installed.  The package has the
# program's name.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${LAB_CACHE:-${LAB_OUT:-$here/out}/.cache}
program=$1 root=$cache/newest-$1; shift
if [ ! -d "$root" ]; then
  mkdir -p "$cache"
  new=$(mktemp -d "$root.XXXXXX")
  trap 'rm -rf "$new"' EXIT
  "$here/suite.sh" sid unpack "$new" "$program" >&2
  mv -T "$new" "$root" 2>/dev/null || [ -d "$root" ]
  rm -rf "$new"
fi
lib=$root/usr/lib/x86_64-linux-gnu
path=$(find "$root/usr/bin" "$root/usr/sbin" -name "$program" 2>/dev/null | head -1 || true)
[ -n "$path" ] || { echo "newest.sh: no program $program in its package" >&2; exit 1; }
exec "$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$path" "$@"
