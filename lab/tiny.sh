#!/bin/bash
# tiny.sh DEST SCRATCH - build the tiny kernel of tiny/tiny.config from Debian's
# source package: DEST/{vmlinuz,crashkit.ko,vmlinux}, the last two with debug
# information.  About five minutes of CPU time.
# Set from outside: SUITE and VERSION of the source, MORE (another fragment of
# configuration, which has the last word).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dest=$(mkdir -p "$1" && cd "$1" && pwd)
rm -rf "$2"
scratch=$(mkdir -p "$2" && cd "$2" && pwd)
jobs=$(nproc)
"$here/suite.sh" "${SUITE:-trixie}" only "$scratch/package" "linux-source-${VERSION:-6.12}"
mkdir "$scratch/linux"
tar -xf "$scratch"/package/usr/src/linux-source-*.tar.xz -C "$scratch/linux" --strip-components=1
rm -rf "$scratch/package"
cd "$scratch/linux"
cat "$here/tiny/tiny.config" ${MORE:+"$here/tiny/$MORE"} >"$scratch/fragment"
make -s KCONFIG_ALLCONFIG="$scratch/fragment" allnoconfig
make -s -j "$jobs" vmlinux bzImage modules
cp -r "$here/crashkit" "$scratch/crashkit"
make -s -C "$scratch/crashkit" KDIR="$scratch/linux"
cp arch/x86/boot/bzImage "$dest/vmlinuz"
cp "$scratch/crashkit/crashkit.ko" "$dest/crashkit.ko"
cp vmlinux "$dest/vmlinux.part.$$"
mv "$dest/vmlinux.part.$$" "$dest/vmlinux"
