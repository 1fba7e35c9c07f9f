#!/bin/bash
# files.sh IMAGE MB - make IMAGE, a file system with MB megabytes of real files:
# what this machine has below /usr, programs and libraries first.
set -euo pipefail
image=$1 mb=$2
dir=$(mktemp -d "$image.XXXXXX")
trap 'rm -rf "$dir"' EXIT
budget=$((mb * 1048576))
# hard links where they can be had: nothing is written twice
find /usr/bin /usr/lib /usr/local /usr/share -xdev -type f -size +15k -printf '%s %p\n' | while read -r size file; do
  budget=$((budget - size))
  [ "$budget" -gt 0 ] || break
  mkdir -p "$dir${file%/*}"
  ln "$file" "$dir$file" 2>/dev/null || cp "$file" "$dir$file"
done || true
truncate -s "$((mb + mb / 8 + 64))M" "$image.part.img"
mkfs.ext4 -q -F -m 0 -L files -d "$dir" "$image.part.img"
mv "$image.part.img" "$image"
