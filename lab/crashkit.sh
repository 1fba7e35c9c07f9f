#!/bin/bash
# crashkit.sh ROOT SCRATCH FILE.ko - build the module for Debian 12's kernel
# unpacked below ROOT.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$1 ko=$3
rm -rf "$2"
scratch=$(mkdir -p "$2" && cd "$2" && pwd)
version=$(basename "$(find "$root/lib/modules" -mindepth 1 -maxdepth 1 -type d)") # 6.1.0-56-amd64
"$here/suite.sh" bookworm only "$scratch" "linux-headers-$version" "linux-headers-${version%-*}-common" linux-kbuild-6.1
# the package's Makefile expects to be installed
sed -i "s#/usr/src/#$scratch/usr/src/#" "$scratch/usr/src/linux-headers-$version/Makefile"
cp -r "$here/crashkit" "$scratch/module"
make -C "$scratch/module" KDIR="$scratch/usr/src/linux-headers-$version"
cp "$scratch/module/crashkit.ko" "$ko"
