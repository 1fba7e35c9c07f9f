#!/usr/bin/env python3
"""Compares the source lines of every frame of every task, inlined frames included, with drgn's.

    lines.py KAUTOPSY DUMP VMLINUX [MODULE.ko...]

Needs python3 with drgn. Tasks whose frames differ in their program counters are counted apart:
there the unwinders differ, not the lines. Prints each difference and exits 1 if lines differ.
"""

import json
import posixpath
import subprocess
import sys

import drgn
from drgn.helpers.linux.pid import for_each_task
from drgn.helpers.linux.sched import idle_task
from drgn.helpers.linux.cpumask import for_each_online_cpu


def theirs(prog):
    """{address of a task_struct: [(pc, function, inlined, file, line)]}"""
    out = {}
    tasks = list(for_each_task(prog))
    for cpu in for_each_online_cpu(prog):
        try:
            tasks.append(idle_task(prog, cpu))
        except drgn.FaultError as error:  # its run queue is not in the dump
            print("the idle task of CPU %d: %s" % (cpu, error))
    for task in tasks:
        frames = []
        try:
            trace = prog.stack_trace(task)
        except ValueError:  # drgn refuses a task that runs and has no registers
            continue
        for frame in trace:
            if frame.pc < 1 << 63:
                break  # user space
            try:
                name, line, _ = frame.source()
            except LookupError:
                name, line = "", 0
            frames.append((frame.pc, frame.name, frame.is_inline, posixpath.normpath(name) if name else "", line))
        out[task.value_()] = frames
    return out


def ours(kautopsy, dump, files):
    args = [kautopsy, "bt", "--all", "-l", "--json", dump]
    for name in files:
        args += ["-k", name]
    answer = json.loads(subprocess.run(args, stdout=subprocess.PIPE).stdout)
    out = {}
    for stack in answer["stacks"]:
        out[int(stack["task"], 16)] = [
            (int(f["address"], 16), f.get("symbol", ""), f.get("inlined", False), f.get("file", ""), f.get("line", 0))
            for f in stack["frames"]
        ]
    return out


def main():
    kautopsy, dump, files = sys.argv[1], sys.argv[2], sys.argv[3:]
    prog = drgn.Program()
    prog.set_core_dump(dump)
    prog.load_debug_info(files)
    want, got = theirs(prog), ours(kautopsy, dump, files)
    same = inlined = differ = walks = 0
    for task, frames in sorted(want.items()):
        mine = got.get(task, [])
        if [f[0] for f in frames if not f[2]] != [f[0] for f in mine if not f[2]]:
            walks += 1
            print("task %#x: other program counters" % task)
            print("  drgn    ", ["%#x %s" % f[:2] for f in frames if not f[2]])
            print("  kautopsy", ["%#x %s" % f[:2] for f in mine if not f[2]])
            continue
        by_pc = lambda fs: [(f[0], f[2], f[3], f[4], f[1] if f[2] else "") for f in fs]
        a, b = by_pc(frames), by_pc(mine)
        if a == b:
            same += len(a)
            inlined += sum(1 for f in a if f[1])
            continue
        for x, y in zip(a, b):
            if x == y:
                same += 1
                inlined += x[1]
            else:
                differ += 1
                print("task %#x at %#x: drgn %s, kautopsy %s" % (task, x[0], x[1:], y[1:]))
        if len(a) != len(b):
            differ += abs(len(a) - len(b))
            print("task %#x: drgn has %d frames, kautopsy %d" % (task, len(a), len(b)))
    print("%d tasks: %d frames alike, %d of them inlined; %d frames differ; %d tasks with other program counters"
          % (len(want), same, inlined, differ, walks))
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
