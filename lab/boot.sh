#!/bin/bash
# boot.sh GUEST DEST - boot GUEST in QEMU, let it crash, and leave
# DEST/{raw.elf,truth/} (truth/console.txt is the serial console).
# Boots again, up to TRIES times, when KASLR left no room for the crash kernel.
# Set from outside: CPU, SMP, MEM, CRASHK, APPEND, QEMU_EXTRA, TIMEOUT, DUMP_MB, and
# MONITOR, a command for QEMU's monitor once the guest waits to be crashed.
set -euo pipefail
guest=$(cd "$1" && pwd) dest=$(mkdir -p "$2" && cd "$2" && pwd)
run=$guest/run
read -ra extra <<<"${QEMU_EXTRA:-}"

start_guest() {
  local drives=() d
  rm -rf "$run"; mkdir -p "$run"
  cp --sparse=always "$guest/truth.img" "$guest/data.img" "$run/"
  truncate -s "${DUMP_MB:-1100}M" "$run/dump.img"
  cd "$run"
  : >console.txt
  for d in truth data dump; do drives+=(-drive "file=$d.img,format=raw,if=virtio,cache=unsafe"); done
  timeout --foreground -k 10 "${TIMEOUT:-600}" qemu-system-x86_64 -accel tcg,thread=multi -smp "${SMP:-2}" \
    -m "${MEM:-512M}" -cpu "${CPU:-qemu64}" -kernel "$guest/vmlinuz" -initrd "$guest/initrd1.gz" \
    -append "console=ttyS0,115200 crashkernel=${CRASHK:-192M} panic=30 loglevel=7 ${APPEND:-}" "${drives[@]}" \
    -netdev user,id=n0,restrict=on -device virtio-net-pci,netdev=n0,romfile= \
    -display none -serial file:console.txt -monitor unix:mon.sock,server,nowait -no-reboot -nodefaults \
    "${extra[@]}" </dev/null &
  qemu=$!
}
monitor() { echo "$1" | socat - UNIX-CONNECT:mon.sock >/dev/null 2>&1 || true; }
seen() { grep -q "$1" console.txt 2>/dev/null; }
# a kernel without ACPI cannot switch itself off
watch_guest() {
  local asked=
  while kill -0 "$qemu" 2>/dev/null; do
    sleep 1
    if [ -n "${MONITOR:-}" ] && [ -z "$asked" ] && seen TRIGGERED; then sleep 1; monitor "$MONITOR"; asked=yes; fi
    if seen 'CAPTURE done\|KEXEC failed\|NO CRASH'; then sleep 3; monitor quit; fi
  done
  wait "$qemu" && rc=0 || rc=$?
}

for try in $(seq "${TRIES:-5}"); do
  begin=$SECONDS
  start_guest
  watch_guest
  echo "boot $try: qemu ended with $rc after $((SECONDS - begin)) s"
  ! seen 'KEXEC loaded=1' || break
  seen 'KEXEC failed' || break
  echo "boot $try: no room for the crash kernel"
done
tr -d '\r' <console.txt >"$dest/console.failed.txt"
size=$(head -c 512 dump.img | tr -d '\0' | sed -n 's/^VMCORE \([0-9]*\).*/\1/p')
[ -n "$size" ] || { echo "boot.sh: no dump; the console is $dest/console.failed.txt and ends in:"; tail -5 console.txt; exit 1; }
dd if=dump.img of=raw.elf bs=1M skip=1 count=$(((size + 1048575) / 1048576)) conv=sparse status=none
truncate -s "$size" raw.elf
mkdir truth
debugfs -R "rdump / truth" truth.img
rmdir truth/lost+found
[ -s truth/collector ] || { echo "boot.sh: the guest did not record the whole truth" >&2; exit 1; }
xz -6 truth/kallsyms
mv "$dest/console.failed.txt" truth/console.txt
vmcore-dmesg raw.elf >truth/vmcore-dmesg.txt
makedumpfile --dump-dmesg raw.elf truth/makedumpfile-dmesg.txt
chmod 644 raw.elf truth/*
rm -rf "$dest/truth"
mv truth raw.elf "$dest/"
