#!/usr/bin/env python3
"""verdicts.py DIR... - write DIR/verdict.json, DIR being named after the way
in which kinds crashed it.

What cannot be read from the log is written down here by hand: which function
is to blame, in what context it ran, and what the log does not say.  Title,
panic line, CPU, PID, comm and RIP come from the dump's own log
(truth/vmcore-dmesg.txt), the first report after crashkit was loaded.
"""
import json, os, re, sys
T = {  # kind: (class, culprit, context, note)
 'sysrq': ('sysrq', None, 'process', 'asked for from user space (write to /proc/sysrq-trigger); sysrq_handle_crash is the mechanism, the writing process the cause'),
 'null-process': ('null-deref', 'ck_null_process', 'process', 'store through a NULL pointer in a write(2) to /proc/crashkit'),
 'null-offset': ('null-deref', 'ck_null_offset', 'process', 'load of ->magic through a NULL struct ck_item pointer: the address is the member offset, not 0'),
 'null-timer': ('null-deref', 'ck_null_timer', 'timer', 'timer callback in softirq; the interrupted task is not to blame'),
 'null-work': ('null-deref', 'ck_null_work', 'workqueue', 'work item of crashkit_wq in a kworker'),
 'null-ipi': ('null-deref', 'ck_null_ipi', 'ipi', 'cross-CPU call in hard IRQ on the last CPU; the interrupted task is not to blame, the sender waits in smp_call_function_single on the other CPU'),
 'gpf': ('gpf', 'ck_gpf', 'kthread', 'non-canonical pointer 0xdead4ead00000100 plus 0x30, an absolute address inside the instruction (movabs): the kernel cannot decode it and prints "maybe for address 0x0"'),
 'divide': ('divide', 'ck_divide', 'process', ''),
 'bug': ('bug', 'ck_bug', 'process', 'BUG_ON on the id of the first item'),
 'panic': ('panic', 'ck_panic', 'process', 'panic() called directly'),
 'warn': ('warn', 'ck_warn', 'process', 'WARN with panic_on_warn'),
 'softlockup': ('softlockup', 'ck_softlockup', 'kthread', 'loop with preemption off, interrupts on'),
 'spindead': ('softlockup', 'ck_spindead', 'kthread', 'ck_spin taken twice by the same thread: RIP is in the spin lock slow path, the caller is to blame'),
 'rcustall': ('rcu-stall', 'ck_rcustall', 'kthread', 'loop inside rcu_read_lock; the panic is raised by whoever noticed (often another CPU or the tick on the same one)'),
 'stackoverflow': ('stack-overflow', 'ck_recurse', 'kthread', 'endless recursion into the guard page of the VMAP_STACK; reported on an exception stack'),
 'listcorrupt': ('list-corruption', 'ck_listcorrupt', 'process', 'RIP is in __list_del_entry_valid*; its caller noticed, q->link.prev was overwritten'),
 'uaf': ('use-after-free', 'ck_uaf_use', 'process', 'slub_debug=FZPU: poison used as a pointer; peer is the last member of the object, so its last byte is the end mark 0xa5: 0xa56b6b6b6b6b6b6b + 0x38'),
 'doublefree': ('double-free', 'ck_doublefree', 'process', 'no slub_debug: noticed by the hardened freelist'),
 'badrip-null': ('bad-rip', 'ck_badrip_null', 'kthread', 'call through a NULL function pointer: RIP is 0, the caller is found from the return address on the stack'),
 'badrip-wild': ('bad-rip', 'ck_badrip_wild', 'kthread', 'call through a wild pointer 0xffffffff00bad000'),
 'abba': ('hung-task', None, 'khungtaskd', 'deadlock: ck-abba-one holds ck_lock_a and waits for ck_lock_b, ck-abba-two the other way round; the panicking task khungtaskd is not to blame'),
 'oom': ('oom', 'ck_oom', 'kthread', 'vm.panic_on_oom=2; pages allocated by a kernel thread, so no process is to blame'),
 'killinit': ('init-killed', None, 'init', 'PID 1 (exec of collect, then exit 0) ended'),
 'nmi': ('nmi', None, 'nmi', 'NMI from outside (QEMU monitor) with unknown_nmi_panic; nothing is to blame'),
}
first = re.compile(r'(BUG: .*|general protection fault.*|divide error.*|kernel BUG at .*|Oops: .*|int3: .*|watchdog: BUG: .*|INFO: task .*|rcu: INFO: .*|WARNING: .*|Kernel panic - not syncing: .*|invalid opcode.*|list_del corruption.*|stack guard page.*|Uhhuh.*|.*invoked oom-killer.*|NMI: .*|sysrq: .*|traps: PANIC.*)')
KIND = {'null-deref': 'null-dereference', 'softlockup': 'soft-lockup', 'gpf': 'general-protection', 'bad-rip': 'bad-jump', 'divide': 'divide-error', 'oom': 'out-of-memory'}
for run in sys.argv[1:]:
    k = os.path.basename(os.path.abspath(run))
    p = os.path.join(run, 'truth', 'vmcore-dmesg.txt')
    L = [re.sub(r'^\[ *[0-9.]+\] ', '', l.rstrip('\n')) for l in open(p, errors='replace')]
    at = max([i for i, l in enumerate(L) if 'crashkit: loaded' in l] or [0])
    L = L[at + 1:]
    j = {'case': k, 'kind': KIND.get(T[k][0], T[k][0]), 'culprit': T[k][1], 'module': 'crashkit' if k not in ('sysrq', 'nmi', 'killinit') else None, 'context': T[k][2]}
    j['title'] = next((m.group(1) for l in L for m in [first.search(l)] if m), None)
    j['panic'] = next((l.split('not syncing: ', 1)[1] for l in L if 'Kernel panic - not syncing: ' in l), None)
    m = next((m for l in L for m in [re.search(r'CPU: (\d+) (?:UID: \d+ )?PID: (\d+) Comm: (.*?) (?:Kdump|Not tainted|Tainted)', l)] if m), None)
    if m: j.update(cpu=int(m.group(1)), pid=int(m.group(2)), comm=m.group(3))
    m = next((m for l in L for m in [re.search(r'RIP: 0010:(\S.*)', l)] if m), None)
    j['rip'] = m.group(1) if m else None
    if T[k][3]: j['note'] = T[k][3]
    with open(os.path.join(run, 'verdict.json'), 'w') as f: json.dump(j, f, indent=1)
    print(json.dumps(j))
