#!/usr/bin/env python3
"""Time and memory until the first type of a vmlinux is known: ours without an index, with the
index of an earlier run, and drgn's. The three run in turn; medians of RUNS.

    firsttype.py VMLINUX DUMP [DRGN...]  DRGN is a Python with drgn, by default /usr/bin/python3; it
                                          takes types only for a dump

Wall is in seconds, CPU is user and system time of all threads, anonymous is the peak of
what is not a page of a file (RssAnon, sampled), resident the peak of all.
"""
import os, statistics, subprocess, sys, tempfile, threading, time

RUNS = 5
DRGN = """
import sys, drgn
p = drgn.Program()
p.set_core_dump(sys.argv[2])
p.load_debug_info([sys.argv[1]])
print(p.type("struct task_struct").size)
"""


def anonymous(pid, peak, stop):
    while not stop.is_set():
        try:
            with open(f"/proc/{pid}/status") as f:
                for line in f:
                    if line.startswith("RssAnon"):
                        peak[0] = max(peak[0], int(line.split()[1]))
        except OSError:
            return
        time.sleep(0.002)


def run(argv):
    begin = time.monotonic()
    child = subprocess.Popen(argv, stdout=subprocess.PIPE)
    peak, stop = [0], threading.Event()
    watch = threading.Thread(target=anonymous, args=(child.pid, peak, stop))
    watch.start()
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    stop.set()
    watch.join()
    if status != 0:
        sys.exit(f"{argv}: status {status}")
    wall = time.monotonic() - begin
    return out.strip(), wall, usage.ru_utime + usage.ru_stime, peak[0] / 1024, usage.ru_maxrss / 1024


def main():
    vmlinux, dump, drgn = sys.argv[1], sys.argv[2], sys.argv[3:] or ["/usr/bin/python3"]
    here = os.path.dirname(os.path.abspath(__file__))
    with tempfile.TemporaryDirectory() as tmp:
        ours, cache = f"{tmp}/firsttype", f"{tmp}/cache"
        subprocess.run(["go", "build", "-o", ours, "./firsttype"], cwd=here, check=True)
        cases = {"ours, no index": [ours, vmlinux, ""], "ours, index": [ours, vmlinux, cache], "drgn": drgn + ["-c", DRGN, vmlinux, dump]}
        run(cases["ours, index"])
        figures = {name: [] for name in cases}
        for _ in range(RUNS):
            for name, argv in cases.items():
                figures[name].append(run(argv))
        if len({f[0] for list in figures.values() for f in list}) != 1:
            sys.exit(f"they do not agree: {figures}")
        print(f"{'':16} {'wall':>8} {'CPU':>8} {'anonymous':>10} {'resident':>10}")
        for name, list in figures.items():
            m = [statistics.median(f[i] for f in list) for i in range(1, 5)]
            print(f"{name:16} {m[0]:7.3f}s {m[1]:7.3f}s {m[2]:6.0f} MiB {m[3]:6.0f} MiB")


main()
