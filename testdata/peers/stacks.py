#!/usr/bin/env python3
"""stacks.py KAUTOPSY DUMP VMLINUX [ROUNDS]: the whole of a dump's stacks and log, by
kautopsy without vmlinux and by drgn and crash with it.

Prints wall time, CPU time and peak memory of each, medians of interleaved rounds, and how
many times as long as kautopsy each takes. Peers that are not installed are left out: drgn
and crash of this machine, and those that $NEWEST (lab/newest.sh) and $DRGN (a command that
runs Python with another drgn) start. An answer counts only if it is whole: the number of
tasks is shown.
"""

import os
import re
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CRASH = "sys\nbt\nps\nlog\nforeach bt\nq\n"


def measure(command, stdin):
    """Wall seconds, CPU seconds, peak MiB and output of a command."""
    with tempfile.TemporaryFile() as out:
        begin = time.monotonic()
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL
        )
        if stdin:
            child.stdin.write(stdin.encode())
            child.stdin.close()
        _, _, usage = os.wait4(child.pid, 0)
        child.returncode = 0
        wall = time.monotonic() - begin
        out.seek(0)
        text = out.read().decode(errors="replace")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text


def tasks(text):
    """The number of tasks that an answer tells of."""
    found = re.search(r"(?:TASKS:? |\"tasks\": )(\d+)", text)
    return int(found[1]) if found else 0


def main():
    program, dump, vmlinux = sys.argv[1:4]
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 5
    crash = ["-s", "--no_crashrc", vmlinux, dump]
    drgn = [os.path.join(HERE, "stacks_drgn.py"), dump, vmlinux]
    contestants = [("kautopsy triage, no vmlinux", [program, "triage", "--json", dump], "")]
    if subprocess.run(["/usr/bin/python3", "-c", "import drgn"], capture_output=True).returncode == 0:
        contestants.append(("drgn of this machine", ["/usr/bin/python3", *drgn], ""))
    if os.environ.get("DRGN"):
        contestants.append(("newest drgn", [*shlex.split(os.environ["DRGN"]), *drgn], ""))
    if shutil.which("crash"):
        contestants.append(("crash of this machine", ["crash", *crash], CRASH))
    if os.environ.get("NEWEST"):
        contestants.append(("newest crash", [os.environ["NEWEST"], "crash", *crash], CRASH))
    results = {name: [] for name, _, _ in contestants}
    for _ in range(rounds):
        for name, command, stdin in contestants:
            results[name].append(measure(command, stdin))
    print(f"{'':28}{'wall s':>9}{'CPU s':>9}{'MiB':>7}{'tasks':>7}{'wall':>8}{'CPU':>8}")
    base = None
    for name, _, _ in contestants:
        wall, cpu, memory = (statistics.median(r[i] for r in results[name]) for i in range(3))
        base = base or (wall, cpu)
        count = tasks(results[name][-1][3])
        print(f"{name:28}{wall:9.3f}{cpu:9.3f}{memory:7.0f}{count:7}{wall / base[0]:8.1f}{cpu / base[1]:8.1f}")


main()
