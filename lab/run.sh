#!/bin/bash
# run.sh [NAME...] - boot kernels in QEMU, crash them, and collect every dump
# container with the truth about the machine in $LAB_OUT/NAME (default lab/out).
#
#   6.1 (the default: Debian 12's own), 5.10, 6.12, newest, tiny, arm64,
#   riscv64, s390x, ppc64el, rt, rt-6.12 (PREEMPT_RT), cloud,
#   crowd (6.1 with 10,000 tasks more), big (6.1 with 4 GB, its page cache full of real files: for benchmarks),
#   kinds (every way to crash, on 6.1), kinds-6.12 (the same on 6.12),
#   kinds-rt (the same on 6.1 with PREEMPT_RT), kinds:NAME[,NAME...] and so on
#   clean removes all of it
#
# Set from outside: LAB_OUT; LAB_CACHE, a folder for packages that outlives the
# run; KEEP=yes keeps raw.elf, the /proc/vmcore itself; FORMS, the containers
# (see container.sh).  What is there already is not made again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${LAB_OUT:=$here/out}"
LAB_OUT=$(cd "$LAB_OUT" && pwd)
out=$LAB_OUT scratch=$LAB_OUT/.scratch child=
keep_cache=${LAB_CACHE:+yes}
mkdir -p "${LAB_CACHE:=$out/.cache}"
LAB_CACHE=$(cd "$LAB_CACHE" && pwd)
export LAB_OUT LAB_CACHE
# shellcheck source=machines.sh
. "$here/machines.sh"

say() { echo "lab: $*"; }
fail() { echo "lab: $*" >&2; exit 1; }
# shellcheck disable=SC2317 # the trap calls these two
stop_child() {
  [ -n "$child" ] || return 0
  kill -TERM -- "-$child" 2>/dev/null || return 0
  wait "$child" 2>/dev/null || true
  for _ in $(seq 20); do kill -0 -- "-$child" 2>/dev/null || return 0; sleep 0.1; done
  kill -KILL -- "-$child" 2>/dev/null || true
}
# shellcheck disable=SC2317
clean_up() {
  trap '' INT TERM HUP
  stop_child
  rm -rf "$scratch"
  [ ! -d "$out" ] || find "$out" -name '*.part.*' -prune -exec rm -rf {} +
}

# step RESULT WHAT COMMAND... - make RESULT by COMMAND unless it is there.  The
# command gets a process group of its own, so that it can be ended as a whole.
step() {
  local result=$1 what=$2 begin=$SECONDS; shift 2
  if [ -e "$result" ]; then say "$name: $what: already there"; return; fi
  printf '\n== %s: %s\n' "$what" "$*" >>"$log"
  set -m
  timeout -k 10 "${LIMIT:-3600}" nice "$@" </dev/null >>"$log" 2>&1 9>&- &
  child=$!
  set +m
  wait "$child" || fail "$name: $what failed, see $log"
  child=
  [ -e "$result" ] || fail "$name: $what made no $result, see $log"
  say "$name: $what: $((SECONDS - begin)) s"
}

begin_machine() { # NAME FORM...
  name=$1 dir=$out/$1 log=$out/$1/lab.log work=$scratch/${1%%/*}; shift
  read -ra forms <<<"${FORMS:-$*}"
  mkdir -p "$dir" "$work"
}
result_of() { if [ "$1" = split ]; then echo "$dir/vmcore.split.3"; else echo "$dir/vmcore.$1"; fi; } # FORM
missing_forms() { local f; for f in "${forms[@]}"; do [ -e "$(result_of "$f")" ] || echo "$f"; done; }
complete() { [ -e "$dir/SHA256SUMS" ] && [ -e "$dir/truth/collector" ] && [ -z "$(missing_forms)" ]; }
# what is missing can be made without another crash
have_source() {
  [ -e "$dir/truth/collector" ] || return 1
  [ ! -e "$dir/raw.elf" ] || return 0
  [ -e "$dir/vmcore.raw" ] && [ -e "$dir/truth/pages.sha256" ] && ! missing_forms | grep -qxE 'elf|d0|d1'
}
# containers of one crash must not mix with those of another
forget() { rm -rf "$dir"/{truth,SHA256SUMS,raw.elf,console.failed.txt,verdict.json} "$dir"/vmcore.*; }

containers() {
  local f source=$dir/raw.elf
  [ -e "$source" ] || source=$dir/vmcore.raw
  for f in "${forms[@]}"; do step "$(result_of "$f")" "vmcore.$f" "$here/container.sh" "$f" "$source" "$dir/vmcore"; done
  step "$dir/truth/pages.sha256" "page sums" "$here/pages.sh" "$dir" "$source"
}
finish() {
  (cd "$dir" && sha256sum vmcore*) >"$work/sums"
  mv "$work/sums" "$dir/SHA256SUMS"
  [ -n "${KEEP:-}" ] || rm -f "$dir/raw.elf"
  say "$name: done, $(du -sh "$dir" | cut -f1) in $dir"
}

debian() { # NAME SUITE - one of Debian's kernels; CPU and so on are set
  begin_machine "$1" elf zlib lzo raw flat split zstd
  if complete; then say "$name: already there"; return; fi
  if ! have_source; then
    forget
    step "$work/root" "kernel of $2" "$here/suite.sh" "$2" kernel "$work/root"
    step "$work/guest" "guest" "$here/guest.sh" "$work/root" "$work/guest"
    step "$dir/raw.elf" "crash" "$here/boot.sh" "$work/guest" "$dir"
  fi
  containers
  finish
}
big() { # FILES_MB of real files in the page cache
  begin_machine big elf zlib lzo zstd raw
  if complete; then say "$name: already there"; return; fi
  if ! have_source; then
    forget
    step "$work/root" "kernel of bookworm" "$here/suite.sh" bookworm kernel "$work/root"
    step "$work/guest" "guest" "$here/guest.sh" "$work/root" "$work/guest"
    step "$work/files.img" "files" "$here/files.sh" "$work/files.img" "$FILES_MB"
    QEMU_EXTRA="-drive file=$work/files.img,format=raw,if=virtio,readonly=on" \
      step "$dir/raw.elf" "crash" "$here/boot.sh" "$work/guest" "$dir"
  fi
  containers
  finish
}
tiny() { # NAME - a kernel built here
  begin_machine "$1" elf zlib lzo raw flat split zstd
  if complete; then say "$name: already there"; return; fi
  if ! have_source; then
    forget
    step "$dir/vmlinux" "kernel" "$here/tiny.sh" "$dir" "$work/build"
    mkdir -p "$work/root/boot"
    cp "$dir/vmlinuz" "$work/root/boot/"
    CRASHKIT=$dir/crashkit.ko step "$work/guest" "guest" "$here/guest.sh" "$work/root" "$work/guest"
    step "$dir/raw.elf" "crash" "$here/boot.sh" "$work/guest" "$dir"
  fi
  containers
  finish
}
foreign() { # NAME ARCH SUITE - no kdump: QEMU itself writes the dump; MODS and CROSS are set
  begin_machine "$1" elf flat zlib
  if complete; then say "$name: already there"; return; fi
  forget
  ARCH=$2 step "$work/root" "kernel of $3" "$here/suite.sh" "$3" kernel "$work/root"
  ARCH=$2 step "$work/busybox" "busybox" "$here/suite.sh" "$3" only "$work/busybox" busybox-static
  FS=ext4 HOST=$1-lab ANON_MB=1 TMP_FILES=1 TMP_BLOCKS=4 DISK_MB=48 KEXEC="" \
    BUSYBOX=$(find "$work/busybox" -path '*bin/busybox' -type f | head -1) \
    step "$work/guest" "guest" "$here/guest.sh" "$work/root" "$work/guest"
  step "$dir/vmcore.elf" "crash" "$here/boot-foreign.sh" "$2" "$work/guest" "$dir"
  step "$dir/truth/pages.sha256" "page sums" "$here/pages.sh" "$dir" "$dir/vmcore.elf"
  finish
}
kinds() { # DIR SUITE "KIND KIND..." or KIND,KIND... - CPU and so on are set
  local list k all=$1 suite=$2
  read -ra list <<<"${3//,/ }"
  for k in "${list[@]}"; do
    [[ " $all_kinds " = *" $k "* ]] || fail "no way to crash called $k, see $here/machines.sh"
    begin_machine "$all/$k" zstd
    if complete; then say "$name: already there"; continue; fi
    if ! have_source; then
      forget
      step "$work/root" "kernel of $suite" "$here/suite.sh" "$suite" kernel "$work/root"
      step "$out/$all/crashkit.ko" "crashkit" "$here/crashkit.sh" "$suite" "$work/root" "$work/headers" "$out/$all/crashkit.ko"
      CRASHKIT=$out/$all/crashkit.ko step "$work/guest" "guest" "$here/guest.sh" "$work/root" "$work/guest"
      how_to "$k"
      APPEND=$APPEND MONITOR=$MONITOR step "$dir/raw.elf" "crash" "$here/boot.sh" "$work/guest" "$dir"
    fi
    containers
    step "$dir/verdict.json" "verdict" python3 "$here/verdicts.py" "$dir"
    finish
  done
}

# read as a whole before anything runs
main() {
  local m f
  exec 9>"$out/.lock"
  flock -n 9 || fail "another run works in $out"
  trap clean_up EXIT
  trap 'echo "lab: interrupted" >&2; exit 130' INT TERM HUP
  rm -rf "$scratch"
  if [ "${1:-}" = clean ]; then
    # only what is ours, should LAB_OUT hold anything else
    for f in "$out"/*/lab.log "$out"/kinds*/*/lab.log; do [ ! -e "$f" ] || rm -rf "${f%/*}"; done
    rm -rf "$out"/kinds*/crashkit.ko "$out/.cache" "$out/.lock"
    rmdir "$out"/kinds* "$out" 2>/dev/null || true
    exit
  fi
  [ $# -gt 0 ] || set -- 6.1
  for m in "$@"; do
    m=${m%%:*}
    case ${m%%-*} in arm64 | riscv64 | s390x | ppc64el | kinds | tiny) "$here/need.sh" "${m%%-*}" ;; *) "$here/need.sh" ;; esac
  done
  for m in "$@"; do
    machine "$m"
    rm -rf "$scratch"
  done
  [ -n "$keep_cache" ] || rm -rf "$LAB_CACHE"
  exit
}
main "$@"
