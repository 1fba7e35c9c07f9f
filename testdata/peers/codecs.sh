#!/usr/bin/env bash
# codecs.sh [PAGESIZE FILE]...: package codec beside the C libraries, on the pages of files.
#
# A FILE is a dump, or anything else that is cut in pages as it is. Prints decoded MB per
# second of CPU time, and the ratio to the first C library of the codec: medians of ROUNDS
# turns, C and Go one after the other, since machines are not equally fast all the time.
# Then the same for coding, with the ratio of sizes; kautopsy's streams go through the C
# libraries, which must find the same pages in them.
# Takes gcc and the libraries that codecbench.c names; TAGS are build tags for Go.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ $# -gt 0 ] || set -- 4096 "$here/../tiny/vmcore.zlib" 65536 "$here/../tiny/vmcore.zlib"

gcc -O2 -Wall -Wextra -o "$work/c" "$here/codecbench.c" -lz -ldeflate -llzo2 -lsnappy -lzstd
(cd "$here" && go build -tags "${TAGS:-}" -o "$work/go" ./codecs)

# table FILE: medians of the rates, and ratios to the first library of each codec.
table() {
	sort -t $'\t' -k1,2 -k3n "$1" | awk -F '\t' '
		function close_row() { if (n) { row[++rows] = last; median[last] = v[int((n + 1) / 2)] }; n = 0 }
		$1 "\t" $2 != last { close_row(); last = $1 "\t" $2 }
		{ v[++n] = $3; size[last] = $4 }
		END {
			close_row()
			base["zlib"] = "zlib"; base["lzo"] = "liblzo2"; base["snappy"] = "libsnappy"; base["zstd"] = "libzstd"
			for (i = 1; i <= rows; i++) {
				split(row[i], f, "\t")
				first = f[1] "\t" base[f[1]]
				printf "%-8s%-12s%8.0f MB/s%7.2f", f[1], f[2], median[row[i]], median[row[i]] / median[first]
				if (size[first]) printf "%10.3f of the size", size[row[i]] / size[first]
				print ""
			}
		}'
}

while [ $# -ge 2 ]; do
	if ! "$work/go" pages "$2" >"$work/pages" 2>/dev/null; then
		cp "$2" "$work/pages"
	fi
	"$work/c" pack "$1" <"$work/pages" >"$work/pack"
	"$work/go" recode <"$work/pack" | "$work/c" run 0 >/dev/null
	for mode in run code; do
		for _ in $(seq "${ROUNDS:-5}"); do
			"$work/c" "$mode" "${SECONDS_EACH:-0.5}" <"$work/pack"
			"$work/go" "$mode" "${SECONDS_EACH:-0.5}" <"$work/pack"
		done >"$work/rates"
		case $mode in run) what=decoded ;; code) what=coded ;; esac
		printf '\n%s, pages of %d bytes, %s\n' "$2" "$1" "$what"
		table "$work/rates"
	done
	shift 2
done
