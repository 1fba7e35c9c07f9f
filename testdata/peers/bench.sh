#!/usr/bin/env bash
# bench.sh: kautopsy beside its peers, in turn, on the same files; docs/performance.md is
# made of what it prints.
#
# codecs.sh on the committed dump and on those of the lab; scan.py on the lab's large one
# (make lab-big; BIG names its folder); stacks.py on the lab's 6.1 (DUMP, and VMLINUX of its
# debug package, which is fetched). Debian's peers are installed if this is root.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
big=${BIG:-$root/lab/out/big} dump=${DUMP:-$root/lab/out/6.1/vmcore.zlib} vmlinux=${VMLINUX:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev zlib1g-dev \
		libdeflate-dev liblzo2-dev libsnappy-dev libzstd-dev libkdumpfile-dev makedumpfile crash python3-drgn >/dev/null
fi
(cd "$root" && go build -o "$work/kautopsy" ./cmd/kautopsy)

"$here/codecs.sh"
if [ -f "$big/vmcore.raw" ]; then
	[ -f "$big/vmcore.snappy" ] || "$work/kautopsy" convert -f snappy "$big/vmcore.raw" "$big/vmcore.snappy"
	"$here/codecs.sh" 4096 "$big/vmcore.raw" 65536 "$big/vmcore.raw"
	"$here/scan.py" -p "$root/docs/throughput.svg" "$big"/vmcore.{zlib,lzo,snappy,zstd,raw,elf}
else
	echo "no $big/vmcore.raw (make lab-big): whole scans are left out"
fi
if [ -f "$dump" ]; then
	if [ -z "$vmlinux" ]; then
		release=$("$work/kautopsy" info --json "$dump" | sed -n 's/.*"OSRELEASE": "\(.*\)".*/\1/p')
		"$root/lab/suite.sh" bookworm only "$work/debug" "linux-image-$release-dbg"
		vmlinux=$work/debug/usr/lib/debug/boot/vmlinux-$release
	fi
	NEWEST=$root/lab/newest.sh "$here/stacks.py" "$work/kautopsy" "$dump" "$vmlinux"
else
	echo "no $dump (make lab): stacks beside drgn and crash are left out"
fi
