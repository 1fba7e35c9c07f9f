#!/bin/bash
# boot-arm64.sh GUEST DEST - boot the arm64 GUEST, let it crash, and leave
# DEST/{vmcore.elf,vmcore.flat,vmcore.zlib,truth/}.  QEMU writes the dumps, with
# the vmcoreinfo note that the guest gave it: ELF and a flattened kdump stream,
# which makedumpfile makes a plain file of.  TIMEOUT and MEM can be set.
set -euo pipefail
guest=$(cd "$1" && pwd) dest=$(mkdir -p "$2" && cd "$2" && pwd)
run=$guest/run drives=()
rm -rf "$run"; mkdir -p "$run"
cp --sparse=always "$guest/truth.img" "$guest/data.img" "$run/"
cd "$run"
: >console.txt
for d in truth data; do
  drives+=(-drive "file=$d.img,format=raw,if=none,id=$d,cache=unsafe" -device "virtio-blk-pci,drive=$d")
done
begin=$SECONDS
timeout --foreground -k 10 "${TIMEOUT:-900}" qemu-system-aarch64 -M virt -cpu cortex-a57 -smp 2 -m "${MEM:-160M}" \
  -accel tcg,thread=multi -kernel "$guest/vmlinuz" -initrd "$guest/initrd1.gz" \
  -append "console=ttyAMA0 loglevel=7 panic=0" "${drives[@]}" -device vmcoreinfo \
  -display none -serial file:console.txt -monitor unix:mon.sock,server,nowait -no-reboot -nodefaults </dev/null &
qemu=$!
while kill -0 "$qemu" 2>/dev/null && ! grep -qs 'end Kernel panic' console.txt; do sleep 1; done
if kill -0 "$qemu" 2>/dev/null; then
  sleep 2
  # the connection must outlive the last command
  { printf '%s\n' stop "dump-guest-memory -z $run/vmcore.flat" "dump-guest-memory $run/vmcore.elf" quit
    while kill -0 "$qemu" 2>/dev/null; do sleep 1; done
  } | socat - UNIX-CONNECT:mon.sock || true
fi
wait "$qemu" || true
echo "qemu ended after $((SECONDS - begin)) s"
tr -d '\r' <console.txt >"$dest/console.failed.txt"
[ -s vmcore.elf ] || { echo "boot-arm64.sh: no dump; the console is $dest/console.failed.txt and ends in:"; tail -5 console.txt; exit 1; }
makedumpfile -R vmcore.zlib <vmcore.flat
mkdir truth
debugfs -R "rdump / truth" truth.img
rmdir truth/lost+found
[ -s truth/collector ] || { echo "boot-arm64.sh: the guest did not record the whole truth" >&2; exit 1; }
xz -6 truth/kallsyms
mv "$dest/console.failed.txt" truth/console.txt
chmod 644 vmcore.* truth/*
rm -rf "$dest/truth"
mv truth vmcore.flat vmcore.zlib vmcore.elf "$dest/"
