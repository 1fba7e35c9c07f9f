#!/bin/bash
# guest.sh ROOT GUEST - make GUEST/{vmlinuz,initrd1.gz,truth.img,data.img} for
# the kernel package unpacked below ROOT.
#   initrd1: busybox, kexec, modules, workload, collect and the crash kernel
#   initrd2: for the crash kernel, inside initrd1
# Set from outside: MODS (more modules), FS, HOST, ANON_MB, TMP_FILES,
# TMP_BLOCKS, KEXEC, CROSS (compiler prefix), BUSYBOX, CRASHKIT (a .ko).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$1" && pwd) guest=$(mkdir -p "$2" && cd "$2" && pwd)
fs=${FS:-ext4} cross=${CROSS:-} kexec=${KEXEC-yes} disk_mb=${DISK_MB:-96}
drivers=(virtio_pci virtio_blk)
read -ra mods <<<"${MODS-virtio_net crc32c_generic crc32c ext4 loop dummy veth bridge squashfs overlay fuse tun nls_ascii vfat isofs xfs}"

# a kernel package has lib/modules, newer ones usr/lib/modules; tiny has none
moddir=$(find "$root/lib/modules" "$root/usr/lib/modules" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | head -1 || true)
kernel=$(find "$root/boot" "$moddir" -maxdepth 1 -name 'vmlinu[xz]*' 2>/dev/null | head -1 || true)
[ -n "$kernel" ] || { echo "guest.sh: no kernel below $root" >&2; exit 1; }
cp "$kernel" "$guest/vmlinuz"
if [ -n "$moddir" ] && [ ! -s "$moddir/modules.dep" ]; then
  # depmod wants BASE/lib/modules
  [ -d "$root/lib/modules" ] || { mkdir -p "$root/lib" && ln -sfn ../usr/lib/modules "$root/lib/modules"; }
  depmod -b "$root" "$(basename "$moddir")"
fi

files_of() { # MODULE: its file and those of all it needs, in load order
  awk -v m="$1" -F: '
    { n = $1; sub(/.*\//, "", n); sub(/\.ko.*/, "", n); gsub(/-/, "_", n) }
    n == m { k = split($2, a, " "); for (i = k; i > 0; i--) print a[i]; print $1; exit }' "$moddir/modules.dep"
}
add_modules() { # DIR MODULE...
  local dir=$1 m f to; shift
  mkdir -p "$dir"; : >"$dir/list"
  [ -n "$moddir" ] || return 0
  for m in "$@"; do
    for f in $(files_of "$m"); do
      to=$(basename "$f"); to=${to%.xz}; to=${to%.zst}
      ! grep -qxF "$to" "$dir/list" || continue
      case $f in
      *.xz) xz -dc "$moddir/$f" >"$dir/$to" ;;
      *.zst) zstd -dqc "$moddir/$f" >"$dir/$to" ;;
      *) cp "$moddir/$f" "$dir/$to" ;;
      esac
      echo "$to" >>"$dir/list"
    done
  done
}
base() { # DIR
  rm -rf "$1"; mkdir -p "$1"/{bin,sbin,proc,sys,dev,tmp,mnt,etc,lib}
  cp "${BUSYBOX:-/bin/busybox}" "$1/bin/busybox"; ln -s busybox "$1/bin/sh"; ln -s a "$1/etc/mtab"
}
pack() { (cd "$1" && find . | cpio -o -H newc --quiet | gzip -1) >"$2"; } # DIR FILE

base "$guest/i1"
add_modules "$guest/i1/lib/mod" "${drivers[@]}" "${mods[@]}"
cp "$here/guest/init" "$guest/i1/init"
cat >"$guest/i1/lab.conf" <<C
HOST=${HOST:-kautopsy-lab}
FS=$fs
ANON_MB=${ANON_MB:-16}
TMP_FILES=${TMP_FILES:-8}
TMP_BLOCKS=${TMP_BLOCKS:-16}
KEXEC=$kexec
C
for p in workload crowd collect; do "${cross}gcc" -O2 -static -pthread -o "$guest/i1/bin/$p" "$here/src/$p.c"; done
ln "$guest/i1/bin/workload" "$guest/i1/bin/a-very-long-process-name-that-is-cut"
[ -z "${CRASHKIT:-}" ] || cp "$CRASHKIT" "$guest/i1/lib/crashkit.ko"
if [ -n "$kexec" ]; then
  base "$guest/i2"
  add_modules "$guest/i2/lib/mod" "${drivers[@]}"
  cp "$here/guest/init-capture" "$guest/i2/init"
  program=$(PATH=$PATH:/usr/sbin:/sbin command -v kexec)
  mkdir -p "$guest/i1/kx"
  pack "$guest/i2" "$guest/i1/kx/initrd2.gz"
  cp "$guest/vmlinuz" "$program" "$guest/i1/kx/"
  for f in $(ldd "$program" | grep -o '/[^ ]*'); do cp -L "$f" "$guest/i1/kx/"; done
fi
pack "$guest/i1" "$guest/initrd1.gz"

# vda: the truth; vdb: one file system and one swap partition
make_fs() { truncate -s "$2" "$1"; "mkfs.$fs" -q -F -L "$3" ${4:+-d "$4"} "$1"; } # IMAGE SIZE LABEL [CONTENTS]
cd "$guest"
rm -rf ./*.img data
make_fs truth.img "${disk_mb}M" truth
mkdir -p data/docs
for i in 1 2 3; do seq 1 $((i * 1000)) >"data/docs/numbers$i.txt"; done
if [ "$disk_mb" -ge 64 ]; then
  mkdir -p loop/dir; echo "a file inside the loop-mounted image" >loop/dir/inner.txt
  make_fs data/loop.img 4M labloop loop
fi
data_mb=$((disk_mb / 3))
make_fs part1.img ${data_mb}M labdata data
truncate -s $((data_mb + 22))M data.img
printf 'label: dos\nstart=2048,size=%d,type=83\nstart=%d,size=40960,type=82\n' \
  $((data_mb * 2048)) $((data_mb * 2048 + 2048)) | sfdisk -q data.img
dd if=part1.img of=data.img bs=1M seek=1 conv=notrunc,sparse status=none
rm -rf part1.img data loop i1 i2
