package kernel

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/vmcore"
)

// Task is one task_struct: a thread of a process, a kernel thread, or the idle task of a
// CPU. Object asks it what the fields do not have. What could not be read is -1 in numbers
// that can be 0, StateUnknown, and elsewhere empty.
type Task struct {
	Object

	PID, TGID, PPID int
	Parent          uint64 // task_struct of the parent; the first idle task is its own
	Comm            string
	State           TaskState
	CPU             int
	OnCPU           bool // it ran on its CPU when the kernel died
	Idle            bool // the task that runs when a CPU has nothing to do
	KernelThread    bool
	Start           time.Duration // since boot
	VSZ, RSS        uint64        // bytes; 0 for kernel threads
	MemoryErr       error         // why VSZ and RSS, or RSS, are not known
	HeldBack        uint64        // bytes of RSS that /proc leaves out: what threads have not yet added (until 6.1)
}

// flagKthread is PF_KTHREAD of task_struct.flags (2.6.27 on).
const flagKthread = 0x00200000

// Tasks yields all tasks: the idle ones of the CPUs, then every thread of every process in
// the order of the kernel's list, then those that only a run queue or the PID leads to: the
// list is broken, or was changed on purpose; and, if it is broken, those that other tasks
// and the slabs of task_struct lead to. A task that cannot be read comes as an error with
// what is known of it, and so does one that is missing from a list that is whole. Broken
// lists are one error without a task, the last.
func (k *Kernel) Tasks(ctx context.Context) iter.Seq2[Task, error] {
	return func(yield func(Task, error) bool) {
		r, err := k.taskReader()
		if err != nil {
			yield(Task{}, fmt.Errorf("tasks: %w", err))
			return
		}
		if r.idle(ctx, yield) && r.processes(ctx, yield) && r.running(ctx, yield) &&
			r.byPID(ctx, yield) && r.kin(ctx, yield) && r.slabbed(ctx, yield) {
			r.brokenLists(yield)
		}
	}
}

// taskReader is what reading tasks needs.
type taskReader struct {
	k      *Kernel
	ts     symbols.Types
	first  Object // init_task
	cpus   []int  // that have an idle task
	areas  []int  // of CPUs that have a per-CPU area
	seen   map[uint64]bool
	order  []uint64        // the addresses in seen
	pids   map[int]bool    // of the tasks in seen
	lost   map[int]error   // PIDs that lead to no task, and why
	heads  map[uint64]bool // lists of threads that were walked
	lists  error           // why the task list is not whole: the first of the breaks
	breaks int
}

func (k *Kernel) taskReader() (*taskReader, error) {
	ts, err := k.Types()
	if err != nil {
		return nil, err
	}
	first, err := k.firstTask(ts)
	if err != nil {
		return nil, err
	}
	return &taskReader{
		k: k, ts: ts, first: first, cpus: k.idleCPUs(), areas: k.PossibleCPUs(),
		seen: make(map[uint64]bool), heads: make(map[uint64]bool), pids: make(map[int]bool), lost: make(map[int]error),
	}, nil
}

// firstTask is init_task, the idle task of the first CPU.
func (k *Kernel) firstTask(ts symbols.Types) (Object, error) {
	first, err := k.Global(ts, "init_task")
	if !errors.Is(err, symbols.ErrNoSymbol) {
		return first, err
	}
	k.firstOnce.Do(func() { k.first, k.firstErr = k.findInitTask(ts) })
	return k.first, k.firstErr
}

// findInitTask finds the first task in a kernel that does not name its data
// (CONFIG_KALLSYMS_ALL off): by its name in the image, behind which a task_struct is that
// leads its own group.
func (k *Kernel) findInitTask(ts symbols.Types) (Object, error) {
	t, err := symbols.Find(ts, "struct task_struct", "comm", "group_leader")
	if err != nil {
		return Object{}, err
	}
	comm, err := t.Member("comm")
	if err != nil {
		return Object{}, err
	}
	const step = 1 << 20
	buf := make([]byte, step)
	for at, end := k.spc.ImageRange(); at < end; at += step {
		n, _ := k.ReadVirt(buf, at)
		for i := 0; i < n; i += 8 {
			if !bytes.HasPrefix(buf[i:n], []byte("swapper")) {
				continue
			}
			o := k.Object(t, at+uint64(i)-comm.Offset/8)
			if leader, err := o.Pointer("group_leader"); err == nil && leader == o.Addr {
				return o, nil
			}
		}
	}
	return Object{}, fmt.Errorf("init_task: %w, and no idle task in the image", symbols.ErrNoSymbol)
}

// idle yields the idle task of each CPU: only run queues lead to those of CPU 1 and up.
func (r *taskReader) idle(ctx context.Context, yield func(Task, error) bool) bool {
	for _, cpu := range r.cpus {
		rq, err := r.k.RunQueue(ctx, cpu)
		if errors.Is(err, symbols.ErrNoSymbol) {
			return true // no data symbols: init_task alone is found, with the processes
		}
		if err == nil {
			var o Object
			if o, err = rq.Follow("idle"); err == nil {
				t, terr := r.task(o)
				t.Idle, t.KernelThread, t.PPID, t.Parent, t.PID, t.CPU = true, true, 0, r.first.Addr, 0, cpu
				if !yield(t, terr) {
					return false
				}
				continue
			}
		}
		if !yield(Task{}, fmt.Errorf("idle task of CPU %d: %w", cpu, err)) {
			return false
		}
	}
	return true
}

// TaskAt is the task whose task_struct lies at an address. Where it cannot be read in full
// the error says so, and what is known comes with it.
func (k *Kernel) TaskAt(addr uint64) (Task, error) {
	r, err := k.taskReader()
	if err != nil {
		return Task{}, err
	}
	return r.task(k.Object(r.first.Type, addr))
}

// processes walks init_task.tasks, and the threads of each process.
func (r *taskReader) processes(ctx context.Context, yield func(Task, error) bool) bool {
	head, err := r.first.Member("tasks")
	if err != nil {
		r.broken(err)
		return true
	}
	for leader, err := range r.k.List(ctx, head.Addr, r.first.Type, "tasks") {
		if err != nil {
			r.broken(fmt.Errorf("task list: %w", err))
			return ctx.Err() == nil
		}
		if !r.threads(ctx, leader, yield) {
			return false
		}
	}
	return true
}

// broken keeps that a list of tasks is not whole.
func (r *taskReader) broken(err error) {
	r.lists = cmp.Or(r.lists, err)
	r.breaks++
}

// threadList is the list of a process's threads, and by which member they are in it: that of
// signal_struct.thread_head where it is (3.14 on), else the leader's thread_group (until 6.6).
func threadList(leader Object) (head Object, member string, err error) {
	signal, err := leader.Follow("signal")
	if err == nil {
		head, err = signal.Member("thread_head")
	}
	if errors.Is(err, symbols.ErrNoMember) {
		head, err = leader.Member("thread_group")
		return head, "thread_group", err
	}
	return head, "thread_node", err
}

// threads yields a process's threads, the leader first.
func (r *taskReader) threads(ctx context.Context, leader Object, yield func(Task, error) bool) bool {
	if !r.once(leader, yield) {
		return false
	}
	head, member, err := threadList(leader)
	if err != nil { // an exiting task has no signal_struct
		if phys.Reason(err) != phys.ErrUnmapped {
			r.broken(fmt.Errorf("threads of task %#x: %w", leader.Addr, err))
		}
		return true
	}
	if r.heads[head.Addr] {
		return true // processes share a signal_struct only where somebody made them do so
	}
	r.heads[head.Addr] = true
	for o, err := range r.k.List(ctx, head.Addr, leader.Type, member) {
		if err != nil {
			r.broken(fmt.Errorf("threads of task %#x: %w", leader.Addr, err))
			return ctx.Err() == nil
		}
		if !r.once(o, yield) {
			return false
		}
	}
	return true
}

// once yields a task that was not yielded before.
func (r *taskReader) once(o Object, yield func(Task, error) bool) bool {
	if r.seen[o.Addr] {
		return true
	}
	t, err := r.task(o)
	return yield(t, err)
}

// task reads what Task has of a task_struct.
func (r *taskReader) task(o Object) (Task, error) {
	r.seen[o.Addr] = true
	r.order = append(r.order, o.Addr)
	t := Task{Object: o}
	f := o.Fields()
	t.PID, t.TGID, t.Comm = int(f.Int("pid")), int(f.Int("tgid")), f.Text("comm")
	t.State = TaskState(f.Uint("__state", "state")&0xffff) | TaskState(f.Uint("exit_state"))
	t.CPU = int(f.Uint("thread_info.cpu", "cpu"))
	t.OnCPU = f.Uint("on_cpu") != 0 && !r.k.offline(t.CPU)
	t.KernelThread = f.Uint("flags")&flagKthread != 0
	t.Start = time.Duration(f.Uint("start_time"))
	err := f.Err()
	if err != nil {
		t.unknown()
	} else {
		r.pids[t.PID] = true
	}
	t.PPID = -1
	if parent, perr := o.Follow("real_parent"); perr == nil {
		pid, perr := parent.Int("tgid", "pid")
		if t.Parent = parent.Addr; perr == nil {
			t.PPID = int(pid)
		}
		err = cmp.Or(err, perr)
	}
	if t.MemoryErr = r.memory(&t); t.MemoryErr != nil {
		err = errors.Join(err, t.MemoryErr)
	}
	if err != nil {
		err = fmt.Errorf("task %#x: %w", o.Addr, err)
	}
	return t, err
}

// unknown marks the numbers that could not be read: a 0 would be one of the kernel's.
func (t *Task) unknown() {
	for member, n := range map[string]*int{"pid": &t.PID, "tgid": &t.TGID} {
		if _, err := t.Int(member); err != nil {
			*n = -1
		}
	}
	if _, err := t.Uint("thread_info.cpu", "cpu"); err != nil {
		t.CPU = -1
	}
	if _, err := t.Uint("__state", "state"); err != nil {
		t.State = StateUnknown
	}
}

// Stack unwinds a task: from the registers of its CPU when it ran, else from where it went
// to sleep.
func (u *Unwinder) Stack(ctx context.Context, t Task) (Stack, error) {
	off := t.Idle && u.k.offline(t.CPU)
	if t.OnCPU || off && slices.Contains(u.k.NoteCPUs(), t.CPU) {
		regs, err := u.k.Registers(t)
		if err != nil {
			return Stack{}, err
		}
		return u.CPU(ctx, regs), nil
	}
	if off {
		return Stack{Why: fmt.Errorf("CPU %d %w", t.CPU, ErrOffline)}, nil
	}
	if base, err := t.Pointer("stack"); err == nil && base == 0 { // thread.sp leads into another task's
		return Stack{Why: errEnded}, nil
	}
	if t.Has("thread.cpu_context.pc") {
		f := t.Fields()
		pc, sp, fp := f.Uint("thread.cpu_context.pc"), f.Uint("thread.cpu_context.sp"), f.Uint("thread.cpu_context.fp")
		kept := &PtRegs{form: &contextRegs}
		for _, name := range contextRegs.names {
			kept.values = append(kept.values, f.Uint("thread.cpu_context."+name))
		}
		if err := f.Err(); err != nil {
			return Stack{}, err
		}
		return u.from(ctx, state{pc: pc, sp: sp, fp: fp, regs: kept}), nil
	}
	sp, err := t.Uint("thread.sp")
	if err != nil {
		return Stack{}, err
	}
	s := u.Sleeping(ctx, sp)
	if !s.Complete && t.State&(stateZombie|stateDead) != 0 {
		return Stack{Why: errEnded}, nil
	}
	return s, nil
}

// ErrOffline tells why the idle task of a CPU has no stack: it runs down to where the CPU
// is switched off, and never goes to sleep.
var ErrOffline = errors.New("was offline")

// contextRegs are the registers of struct cpu_context (arch/arm64/include/asm/processor.h) that
// functions keep.
var contextRegs = ptForm{names: arm64Regs.names[19:29]}

// errEnded: a zombie keeps its task_struct, while its stack is freed and used again (from 4.9
// on; task_struct.stack is NULL then).
var errEnded = fmt.Errorf("the task has ended and its stack is gone: %w", phys.ErrHole)

// Registers are those that the CPU of a task that ran was stopped with. Without such the
// error wraps phys.ErrHole.
func (k *Kernel) Registers(t Task) (vmcore.Registers, error) {
	cpus, err := k.dump.CPUs()
	if i := k.noteOf(cpus, t); i >= 0 {
		return cpus[i].Regs, nil
	}
	if err != nil {
		return vmcore.Registers{}, fmt.Errorf("no registers of CPU %d in the notes: %w", t.CPU, err)
	}
	return vmcore.Registers{}, noRegisters(t.CPU)
}

// noRegisters is the CPU that the notes know nothing of.
type noRegisters int

func (cpu noRegisters) Error() string {
	return fmt.Sprintf("the notes have no registers of CPU %d", int(cpu))
}
func (noRegisters) Unwrap() error { return phys.ErrHole }
