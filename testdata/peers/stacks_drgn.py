"""All task stacks and the log by drgn, for stacks.py: stacks_drgn.py DUMP VMLINUX."""

import sys

import drgn
from drgn.helpers.linux.pid import for_each_task
from drgn.helpers.linux.printk import get_dmesg

prog = drgn.Program()
prog.set_core_dump(sys.argv[1])
try:
    prog.load_debug_info([sys.argv[2]])
except drgn.MissingDebugInfoError:
    pass  # that of modules is not asked for
tasks = 0
for task in for_each_task(prog):
    try:
        print(task.pid.value_(), prog.stack_trace(task))
    except (ValueError, LookupError, drgn.FaultError) as error:
        print(task.pid.value_(), error)
    tasks += 1
sys.stdout.buffer.write(get_dmesg(prog))
print("TASKS", tasks)
