#!/bin/bash
# pages.sh DIR RAW - DIR/truth/pages.sha256: which pages DIR's kdump files hold,
# and the sum over them as read from RAW, which is ELF.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for form in raw zlib lzo zstd; do
  [ -e "$1/vmcore.$form" ] || continue
  python3 "$here/pages.py" "$1/vmcore.$form" "$2" >"$1/truth/pages.part.$$"
  mv "$1/truth/pages.part.$$" "$1/truth/pages.sha256"
  exit
done
echo "pages.sh: no kdump file in $1" >&2
exit 1
