#!/bin/bash
# need.sh [arm64|riscv64|s390x|ppc64el|kinds|tiny]... - install what the lab needs and this machine
# lacks, as Debian packages by name; says which.  Needs root only then.
set -euo pipefail
want=(qemu-system-x86 busybox-static kexec-tools makedumpfile cpio xz-utils zstd kmod fdisk e2fsprogs socat
  gcc libc6-dev python3 util-linux debian-archive-keyring)
for part in "$@"; do
  case $part in
  arm64) want+=(qemu-system-arm gcc-aarch64-linux-gnu libc6-dev-arm64-cross) ;;
  kinds) want+=(make) ;;
  tiny) want+=(make flex bison bc libelf-dev libssl-dev dwarves) ;;
  riscv64) want+=(qemu-system-misc opensbi gcc-riscv64-linux-gnu libc6-dev-riscv64-cross) ;;
  s390x) want+=(qemu-system-misc gcc-s390x-linux-gnu libc6-dev-s390x-cross) ;;
  ppc64el) want+=(qemu-system-ppc gcc-powerpc64le-linux-gnu libc6-dev-ppc64el-cross) ;;
  *) echo "need.sh: arm64, riscv64, s390x, ppc64el, kinds or tiny" >&2; exit 2 ;;
  esac
done
lack=()
for p in "${want[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || lack+=("$p")
done
[ ${#lack[@]} -gt 0 ] || exit 0
echo "lab: installing ${lack[*]}"
[ "$(id -u)" = 0 ] || { echo "lab: that needs root" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
quiet() { "$@" >"$log" 2>&1 || { tail -5 "$log" >&2; echo "lab: failed: $*" >&2; exit 1; }; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
quiet apt-get -q update
quiet apt-get -q install -y --no-install-recommends "${lack[@]}"
