#!/usr/bin/env python3
"""Compares the arguments and local variables of every frame of every task, of inlined functions too,
with drgn's.

    locals.py KAUTOPSY DUMP VMLINUX [MODULE.ko...]

Needs python3 with drgn. Counts by what each side says of a variable: a value, optimised out, not
kept (drgn calls both absent), not readable. A value that both have and that differs is printed, and so is
one that only drgn has; exits 1 if values differ.
"""

import collections
import json
import os
import subprocess
import sys
import tempfile

import drgn
from drgn.helpers.linux.pid import for_each_task
from drgn.helpers.linux.sched import idle_task
from drgn.helpers.linux.cpumask import for_each_online_cpu


def theirs(prog):
    """{address of a task_struct: [(pc, function, inlined, frame)]}"""
    out = {}
    tasks = list(for_each_task(prog))
    for cpu in for_each_online_cpu(prog):
        try:
            tasks.append(idle_task(prog, cpu))
        except drgn.FaultError as error:
            print("the idle task of CPU %d: %s" % (cpu, error))
    for task in tasks:
        try:
            trace = prog.stack_trace(task)
        except ValueError:  # it ran and has no registers
            continue
        frames = []
        for frame in trace:
            if frame.pc < 1 << 63:
                break
            frames.append((frame.pc, frame.name, frame.is_inline, frame))
        out[task.value_()] = frames
    return out


def ours(kautopsy, dump, files):
    args = [kautopsy, "bt", "--all", "--locals", "--json", dump]
    for name in files:
        args += ["-k", name]
    with tempfile.TemporaryFile() as answer:
        subprocess.run(args, stdout=answer)
        answer.seek(0)
        stacks = json.load(answer)["stacks"]
    return {int(s["task"], 16): s["frames"] for s in stacks}


def number(value):
    """What JSON has for a scalar as a number, None for what is none."""
    if isinstance(value, bool) or isinstance(value, int):
        return int(value)
    if isinstance(value, str) and value.startswith("0x"):
        return int(value, 16)
    return None


def differ(obj, value):
    """Where an object and JSON's value differ: a list of texts."""
    t = obj.type_
    while t.kind == drgn.TypeKind.TYPEDEF:
        t = t.type
    if t.kind in (drgn.TypeKind.STRUCT, drgn.TypeKind.UNION):
        if not isinstance(value, list):
            return ["a struct, not %r" % (value,)]
        mine = {m["name"]: m for m in value if m["name"]}
        out = []
        for m in t.members:
            if m.name and m.name in mine and mine[m.name].get("value") is not None:
                out += [m.name + ": " + d for d in differ(obj.member_(m.name), mine[m.name]["value"])]
        return out
    if t.kind == drgn.TypeKind.ARRAY:
        return []  # compared by their address, or as a part of memory
    want = obj.value_()
    if t.kind == drgn.TypeKind.ENUM:
        names = {e.name: e.value for e in t.enumerators}
        if isinstance(value, str) and value in names:
            value = names[value]
        elif isinstance(value, str):
            value = int(value)
    got = number(value)
    if got is None:
        return ["drgn %r, kautopsy %r" % (want, value)]
    mask = (1 << 8 * drgn.sizeof(t)) - 1
    return [] if (got ^ int(want)) & mask == 0 else ["drgn %#x, kautopsy %#x" % (int(want) & mask, got & mask)]


def their_state(frame, name):
    try:
        obj = frame[name]
        if obj.absent_:
            return "absent", None
        obj.read_()
        return "value", obj
    except drgn.ObjectAbsentError:
        return "absent", None
    except drgn.FaultError:
        return "unreadable", None
    except (LookupError, ValueError, NotImplementedError, Exception) as error:
        return "error: %s" % error, None


def our_state(local):
    why = local.get("why", "")
    if not why:
        return "value"
    if local.get("optimised_out"):
        return "optimised out"
    if "not kept" in why:
        return "not kept"
    return "no value: " + why


def main():
    kautopsy, dump, files = sys.argv[1], sys.argv[2], sys.argv[3:]
    prog = drgn.Program()
    prog.set_core_dump(dump)
    prog.load_debug_info(files)
    want, got = theirs(prog), ours(kautopsy, dump, files)
    counts, bad, walks, frames_seen, scopes = collections.Counter(), 0, 0, 0, 0
    verbose = os.environ.get("VERBOSE")
    for task, frames in sorted(want.items()):
        mine = got.get(task, [])
        if [(f[0], f[2]) for f in frames] != [(int(f["address"], 16), f.get("inlined", False)) for f in mine[: len(frames)]]:
            walks += 1
            print("task %#x: other frames" % task)
            continue
        for (pc, function, inlined, frame), m in zip(frames, mine):
            frames_seen += 1
            locals_ = {}
            for l in m.get("locals", []):
                if l["name"] and not l.get("hidden"):
                    locals_[l["name"]] = l
            try:
                names = set(frame.locals())
            except Exception as error:
                counts["a frame drgn cannot read: %s" % error, ""] += 1
                continue
            scopes += bool(names)
            for name in sorted(names | set(locals_)):
                where = "%#x %s: %s" % (pc, function, name)
                if name not in locals_:
                    counts["not listed by kautopsy", ""] += 1
                    print("only drgn lists", where)
                    continue
                state = our_state(locals_[name])
                if name not in names:
                    counts["not listed by drgn", state] += 1
                    if verbose:
                        print("only kautopsy lists", where, state)
                    continue
                their, obj = their_state(frame, name)
                key = (their, state)
                if their == "value" and state == "value":
                    l = locals_[name]
                    d = differ(obj, l["value"]) if l.get("value") is not None else []
                    at = int(l["address"], 16) if l.get("address") else None
                    if obj.address_ is not None and at is not None and obj.address_ != at:
                        d.append("at %#x, kautopsy at %#x" % (obj.address_, at))
                    if d:
                        bad += 1
                        key = ("another value", "")
                        print("differs", where, d)
                    else:
                        key = ("the same value", "")
                elif their == "value" or verbose:
                    print("%s: drgn %s, kautopsy %s" % (where, their, state))
                counts[key] += 1
    print("%d tasks, %d frames, %d of them with variables; %d tasks with other frames" % (len(want), frames_seen, scopes, walks))
    for (a, b), n in counts.most_common():
        print("%7d  %s%s" % (n, ("drgn: " + a + ", kautopsy: " + b) if b else a, ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
