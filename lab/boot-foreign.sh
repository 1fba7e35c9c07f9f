#!/bin/bash
# boot-foreign.sh ARCH GUEST DEST - boot the GUEST of another architecture, let it crash, and
# leave DEST/{vmcore.elf,vmcore.flat,vmcore.zlib,truth/}.  QEMU writes the dumps, with
# the vmcoreinfo note that the guest gave it, where there is a device for that: ELF and a
# flattened kdump stream, which makedumpfile makes a plain file of.  TIMEOUT, MEM and APPEND can be set.
set -euo pipefail
arch=$1 guest=$(cd "$2" && pwd) dest=$(mkdir -p "$3" && cd "$3" && pwd)
run=$guest/run drives=() place=() serial=(-serial file:console.txt) disk=virtio-blk-pci
last='end Kernel panic' # of the console
case $arch in
arm64) console=ttyAMA0 machine=(qemu-system-aarch64 -M virt -cpu cortex-a57 -device vmcoreinfo) ;;
riscv64) console=ttyS0 machine=(qemu-system-riscv64 -M virt -cpu rv64) ;;
# a panic of these stops the processor, and QEMU would go
ppc64el) console=hvc0 machine=(qemu-system-ppc64 -M pseries -cpu power9 -action "panic=pause") last='Kernel panic' ;;
s390x)
  console=ttysclp0 machine=(qemu-system-s390x -M s390-ccw-virtio -action "panic=pause") disk=virtio-blk-ccw
  last='Kernel panic'
  serial=(-chardev "file,id=console,path=console.txt" -device "sclpconsole,chardev=console")
  ;;
*) echo "boot-foreign.sh: no machine for $arch" >&2; exit 2 ;;
esac
rm -rf "$run"; mkdir -p "$run"
cp --sparse=always "$guest/truth.img" "$guest/data.img" "$run/"
cd "$run"
: >console.txt
[ "$arch" != s390x ] || place=(",devno=fe.0.0001" ",devno=fe.0.0002")
for d in truth data; do
  drives+=(-drive "file=$d.img,format=raw,if=none,id=$d,cache=unsafe" -device "$disk,drive=$d${place[0]-}")
  place=("${place[@]:1}")
done
begin=$SECONDS
timeout --foreground -k 10 "${TIMEOUT:-900}" "${machine[@]}" -smp 2 -m "${MEM:-160M}" \
  -accel tcg,thread=multi -kernel "$guest/vmlinuz" -initrd "$guest/initrd1.gz" \
  -append "console=$console loglevel=7 panic=0 ${APPEND:-}" "${drives[@]}" \
  -display none "${serial[@]}" -monitor unix:mon.sock,server,nowait -no-reboot -nodefaults </dev/null &
qemu=$!
while kill -0 "$qemu" 2>/dev/null && ! grep -qs "$last" console.txt; do sleep 1; done
if kill -0 "$qemu" 2>/dev/null; then
  sleep 5
  # the connection must outlive the last command
  { printf '%s\n' stop "dump-guest-memory -z $run/vmcore.flat" "dump-guest-memory $run/vmcore.elf" quit
    while kill -0 "$qemu" 2>/dev/null; do sleep 1; done
  } | socat - UNIX-CONNECT:mon.sock >/dev/null || true
fi
wait "$qemu" || true
echo "qemu ended after $((SECONDS - begin)) s"
tr -d '\r' <console.txt >"$dest/console.failed.txt"
[ -s vmcore.elf ] || { echo "boot-foreign.sh: no dump; the console is $dest/console.failed.txt and ends in:"; tail -5 console.txt; exit 1; }
makedumpfile -R vmcore.zlib <vmcore.flat
mkdir truth
debugfs -R "rdump / truth" truth.img
rmdir truth/lost+found
[ -s truth/collector ] || { echo "boot-foreign.sh: the guest did not record the whole truth" >&2; exit 1; }
xz -6 truth/kallsyms
mv "$dest/console.failed.txt" truth/console.txt
chmod 644 vmcore.* truth/*
rm -rf "$dest/truth"
mv truth vmcore.flat vmcore.zlib vmcore.elf "$dest/"
