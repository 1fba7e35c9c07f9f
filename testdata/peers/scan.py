#!/usr/bin/env python3
"""scan.py [-r ROUNDS] [-c] [-p SVG] DUMP...: reading a dump's pages, by kautopsy and by libkdumpfile.

Each DUMP is the same memory in another container, named after it (vmcore.zlib). Reads all
pages in order on one and two processors, and pages in any order, often the same ones, and
where each read tells the next, on one; kautopsy and libkdumpfile (at its best cache.size,
16, and as it comes) in turn, ROUNDS times. Prints medians of decoded MB a second and how
many times libkdumpfile's that is; -p draws them. -c takes seconds of CPU time, which a busy
machine stretches less. Checksums must agree.
"""

import argparse
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BENCH = {"seq": "Scan", "random": "Random/uniform", "zipf": "Random/zipf", "chase": "Random/chase"}


def build(work):
    subprocess.run(
        ["cc", "-O2", "-o", f"{work}/kdumpscan", f"{HERE}/kdumpscan.c", "-lkdumpfile", "-lpthread", "-lm"], check=True
    )
    subprocess.run(["go", "test", "-c", "-o", f"{work}/ours", "./vmcore"], cwd=f"{HERE}/../..", check=True)


def ours(work, dump, order, threads, cpu):
    """MB/s, and the checksum."""
    text = subprocess.run(
        [f"{work}/ours", "-test.run", "^$", "-test.bench", f"^Benchmark{BENCH[order]}", "-test.cpu", str(threads), "-test.benchtime", "1x"],
        env={**os.environ, "KAUTOPSY_BENCH": dump}, cwd=f"{HERE}/../../vmcore", check=True, capture_output=True, text=True,
    ).stdout
    unit = "MB/cpu-s" if cpu else "MB/s"
    return float(re.search(rf"([\d.]+) {unit}", text)[1]), re.search(r"checksum ([0-9a-f]+)", text)[1]


def theirs(work, dump, order, threads, cpu, cache):
    command = [f"{work}/kdumpscan", "-q", "-t", str(threads), "-o", order, *cache, dump]
    words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(words[1]) / float(words[3 if cpu else 2]) / 1e6, words[6]


def measure(work, dump, order, threads, rounds, cpu):
    """Medians: kautopsy, libkdumpfile at its best, libkdumpfile as it comes."""
    rates, sums = ([], [], []), set()
    for _ in range(rounds):
        for i, run in enumerate((
            lambda: ours(work, dump, order, threads, cpu),
            lambda: theirs(work, dump, order, threads, cpu, ["-c", "16"]),
            lambda: theirs(work, dump, order, threads, cpu, []),
        )):
            rate, checksum = run()
            rates[i].append(rate)
            sums.add(checksum)
    if len(sums) != 1:
        sys.exit(f"{dump}, {order}: different checksums: {sums}")
    return [statistics.median(r) for r in rates]


def plot(rows, path):
    """A bar chart of the scans, a group a codec, its scale logarithmic: stored pages are a hundred times as fast."""
    scans = [r for r in rows if r[1] == "seq"]
    low = math.floor(math.log10(min(min(r[3]) for r in scans)))
    decades = math.ceil(math.log10(max(max(r[3]) for r in scans))) - low
    colours = ("#c2571a", "#8d8a83", "#cfccc4")
    names = ("kautopsy", "libkdumpfile, cache.size 16", "libkdumpfile as it comes")
    width, group, left, height = 78 * len(scans) + 90, 78, 70, 300
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + 90}" font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        '<text x="10" y="18" font-size="13">Every page of a dump, decoded MB a second</text>',
    ]
    for i, name in enumerate(names):
        out.append(f'<rect x="{10 + 190 * i}" y="28" width="10" height="10" fill="{colours[i]}"/><text x="{24 + 190 * i}" y="37">{name}</text>')
    for k in range(3 * decades + 1):
        rate = (1, 2, 5)[k % 3] * 10 ** (low + k // 3)
        y = 20 + height - (height - 30) * (math.log10(rate) - low) / decades
        out.append(f'<line x1="{left}" x2="{width - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/><text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{rate}</text>')
    for i, (codec, _, threads, rates) in enumerate(scans):
        for j, rate in enumerate(rates):
            h = (height - 30) * (math.log10(rate) - low) / decades
            out.append(f'<rect x="{left + 10 + group * i + 18 * j}" y="{50 + height - 30 - h:.1f}" width="16" height="{h:.1f}" fill="{colours[j]}"/>')
        out.append(f'<text x="{left + 37 + group * i}" y="{height + 38}" text-anchor="middle">{codec}</text>')
        out.append(f'<text x="{left + 37 + group * i}" y="{height + 54}" text-anchor="middle" fill="#666">{threads} CPU{"s" if threads > 1 else ""}</text>')
    out.append("</svg>\n")
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(out))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("-c", "--cpu", action="store_true")
    parser.add_argument("-p", "--plot", metavar="SVG")
    parser.add_argument("-o", "--orders", default="seq,random,zipf,chase")
    parser.add_argument("dump", nargs="+")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as work:
        build(work)
        print(f"{'':8}{'order':8}{'CPUs':>5}{'MB/s':>8}{'best':>8}{'default':>9}{'ratio':>8}{'ratio':>8}")
        for order in args.orders.split(","):
            for dump in args.dump:
                codec = os.path.basename(dump).rsplit(".", 1)[-1]
                for threads in (1, 2) if order == "seq" else (1,):
                    r = measure(work, os.path.abspath(dump), order, threads, args.rounds, args.cpu)
                    rows.append((codec, order, threads, r))
                    print(f"{codec:8}{order:8}{threads:5}{r[0]:8.0f}{r[1]:8.0f}{r[2]:9.0f}{r[0] / r[1]:8.2f}{r[0] / r[2]:8.2f}", flush=True)
    if args.plot:
        plot(rows, args.plot)


main()
