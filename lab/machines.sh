# shellcheck shell=bash disable=SC2034,SC2154
# machines.sh - what run.sh can crash; sourced by it.
# A machine of Debian's is one line: debian NAME SUITE, with the CPU model, and
# what else boot.sh and guest.sh take, set for it.

all_kinds="abba badrip-null badrip-wild bug divide doublefree gpf killinit listcorrupt nmi null-ipi null-offset \
null-process null-timer null-work oom panic rcustall softlockup spindead stackoverflow sysrq uaf warn"
two_nodes="-object memory-backend-ram,id=m0,size=256M -object memory-backend-ram,id=m1,size=256M \
-numa node,memdev=m0,cpus=0 -numa node,memdev=m1,cpus=1"

machine() { # NAME
  case $1 in
  5.10) CPU=qemu64 debian "$1" bullseye ;;
  6.1) CPU=Haswell-noTSX debian "$1" bookworm ;;
  # makedumpfile must be as new as the kernel, or it drops pages of the kernel
  6.12) CPU=max QEMU_EXTRA=$two_nodes MAKEDUMPFILE=newest debian "$1" trixie ;;
  newest) CPU=max,la57=off MAKEDUMPFILE=newest debian "$1" sid ;;
  # PREEMPT_RT: locks that sleep are rt_mutexes, interrupts and softirqs are threads
  rt) CPU=Haswell-noTSX KERNEL=linux-image-rt-amd64 debian "$1" bookworm ;;
  rt-6.12) CPU=max,la57=off KERNEL=linux-image-rt-amd64 MAKEDUMPFILE=newest debian "$1" trixie ;;
  cloud) CPU=Haswell-noTSX KERNEL=linux-image-cloud-amd64 debian "$1" bookworm ;;
  tiny)
    CPU=Haswell-noTSX SMP=2,sockets=2 MEM=128M CRASHK=28M QEMU_EXTRA="-device vmcoreinfo" \
      APPEND="oops=panic qemu_fw_cfg.ioport=12@0x510:0:1:4 how=/proc/crashkit=null-work" \
      FS=ext2 MODS="" DISK_MB=24 HOST=tiny-lab ANON_MB=1 TMP_FILES=1 TMP_BLOCKS=4 MAKEDUMPFILE=newest tiny "$1"
    ;;
  tiny-old)
    CPU=Haswell-noTSX SMP=2,sockets=2 MEM=128M CRASHK=28M SUITE=bullseye VERSION=5.10 MORE=old.config \
      APPEND="oops=panic how=/proc/crashkit=null-work" \
      FS=ext2 MODS="" DISK_MB=24 HOST=tiny-old ANON_MB=1 TMP_FILES=1 TMP_BLOCKS=4 tiny "$1"
    ;;
  arm64) MODS="qemu_fw_cfg virtio_mmio crc32c_generic ext4 loop dummy" CROSS=aarch64-linux-gnu- foreign "$1" arm64 bookworm ;;
  # of these Debian has no kdump that a guest could use: QEMU dumps them
  riscv64) MODS="crc32c_generic ext4 loop dummy" CROSS=riscv64-linux-gnu- foreign "$1" riscv64 trixie ;;
  s390x) MODS="crc32c_generic ext4 loop dummy" CROSS=s390x-linux-gnu- foreign "$1" s390x bookworm ;;
  ppc64el)
    MEM=256M MODS="crc32c_generic ext4 loop dummy" CROSS=powerpc64le-linux-gnu- KERNEL=linux-image-powerpc64le \
      foreign "$1" ppc64el bookworm
    ;;
  big) CPU=Haswell-noTSX MEM=4G CRASHK=256M TIMEOUT=1800 DUMP_MB=5000 LEVEL=17 FILES_MB=2400 big ;;
  crowd) CPU=Haswell-noTSX MEM=1536M TIMEOUT=1800 DUMP_MB=1700 APPEND=crowd=100 debian "$1" bookworm ;;
  kinds | kinds:?*) CPU=Haswell-noTSX MODS="crc32c_generic crc32c ext4 loop dummy" kinds kinds bookworm "$(chosen "$1")" ;;
  kinds-6.12 | kinds-6.12:?*)
    CPU=max,la57=off MODS="crc32c_generic crc32c ext4 loop dummy" MAKEDUMPFILE=newest kinds kinds-6.12 trixie "$(chosen "$1")"
    ;;
  kinds-rt | kinds-rt:?*)
    CPU=Haswell-noTSX MODS="crc32c_generic crc32c ext4 loop dummy" KERNEL=linux-image-rt-amd64 kinds kinds-rt bookworm "$(chosen "$1")"
    ;;
  *) fail "no machine called $1, see $here/README.md" ;;
  esac
}

# chosen NAME:KIND,KIND - the ways to crash that are asked for, all without a colon
chosen() { if [[ $1 = *:* ]]; then echo "${1#*:}"; else echo "$all_kinds"; fi; }

# how_to KIND - set APPEND and MONITOR so that the guest crashes in this way
how_to() {
  local how=/proc/crashkit=$1 thread=/proc/crashkit=thread:$1 more="" sysctl=kernel.printk=7
  MONITOR=""
  case $1 in
  warn) sysctl+=,kernel.panic_on_warn=1 ;;
  softlockup | spindead) how=$thread sysctl+=,kernel.watchdog_thresh=4,kernel.softlockup_panic=1 ;;
  # without nowatchdog the soft lockup detector comes first
  rcustall) how=$thread more="nowatchdog rcupdate.rcu_cpu_stall_timeout=6" sysctl+=,kernel.panic_on_rcu_stall=1 ;;
  abba) sysctl+=,kernel.hung_task_timeout_secs=8,kernel.hung_task_check_interval_secs=2,kernel.hung_task_panic=1 ;;
  uaf) more=slub_debug=FZPU ;;
  oom) how=$thread sysctl+=,vm.panic_on_oom=2 ;;
  nmi) how=none more=unknown_nmi_panic MONITOR=nmi ;;
  stackoverflow | badrip-null | badrip-wild | gpf) how=$thread ;;
  killinit) how=none more=initexit=1 ;;
  sysrq) how=c ;;
  esac
  APPEND="lite=1 sysctl=$sysctl how=$how oops=panic $more"
}
