package triage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/code"
	"github.com/kautopsy/kautopsy/kernel/lock"
	"github.com/kautopsy/kautopsy/kernel/mm"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/dataflow"
	"github.com/kautopsy/kautopsy/vmcore"
)

// scene is what the memory of a dump shows of the moment of the crash, whatever the log
// says: the tasks, their stacks, what they wait for. A nil scene, that of a text, shows
// nothing.
type scene struct {
	k       *kernel.Kernel
	tasks   []kernel.Task
	stacks  []kernel.Stack // of tasks, in their order
	cpus    []cpuScene     // by number
	waits   []lock.Wait    // of the tasks that sleep
	finder  *lock.Finder   // nil: no types
	graph   lock.Graph
	freed   []object // slab objects that registers of the crash lead to
	crash   int      // the CPU that owned the crash path; -1 if none did, or it is not known
	alive   bool     // no CPU owns panic: the dump was taken from outside
	missing []Missing

	table    *symbols.Table // nil: nothing has a name
	code     *code.Reader   // nil: the machine's code is not known
	describe func(va uint64) mm.Place
	flow     func(pc uint64) (*dataflow.Flow, error)
	use      func() *memoryUse
}

// cpuScene is a CPU when it stopped.
type cpuScene struct {
	cpu   int
	task  kernel.Task // without an address if it is not known
	stack kernel.Stack
	regs  vmcore.Registers
}

// look reads all tasks and stacks.
func look(ctx context.Context, k *kernel.Kernel) *scene {
	m := mm.New(k)
	s := &scene{k: k, crash: -1, describe: describer(ctx, m)}
	s.use = sync.OnceValue(s.readMemoryUse(ctx, m))
	s.table, _ = k.AllSymbols(ctx)
	s.code, _ = code.New(ctx, k)
	s.flow = func(pc uint64) (*dataflow.Flow, error) { return s.code.Flow(ctx, pc) }
	if cpu, err := k.CrashCPU(); err == nil {
		s.crash = cpu
	} else if owner, ok := s.variable("panic_cpu"); ok && owner < 0 { // kernels before 4.5 do not say who panics
		s.alive = !noted(k)
	}
	u, err := k.Unwinder(ctx)
	if err != nil {
		s.miss("stacks", err, "callers are known as far as the log tells them")
		return s
	}
	s.readTasks(ctx)
	s.readStacks(ctx, u)
	s.readCPUs(ctx, u)
	s.findCrash()
	if s.finder, err = lock.New(ctx, k, s.tasks); err != nil {
		return s // readTasks has told the same
	}
	for i, t := range s.tasks {
		if w, ok := s.finder.Wait(t, s.stacks[i]); ok {
			s.waits = append(s.waits, w)
		}
	}
	s.nameLocks(ctx)
	s.graph = lock.NewGraph(s.waits)
	return s
}

func (s *scene) miss(what string, err error, cost string) {
	s.missing = append(s.missing, Missing{What: what, Why: err.Error(), Cost: cost, Err: err})
}

func (s *scene) readTasks(ctx context.Context) {
	var first error
	failed := 0
	for t, err := range s.k.Tasks(ctx) {
		if err != nil {
			if failed++; first == nil {
				first = err
			}
		}
		if t.Addr != 0 {
			s.tasks = append(s.tasks, t)
		}
	}
	switch {
	case first != nil && len(s.tasks) == 0:
		s.miss("tasks", first, "who waits for whom is not known")
	case first != nil:
		s.miss("some tasks", fmt.Errorf("%d could not be read, the first: %w", failed, first), "who waits for whom is known in part")
	}
}

// maxStacks bounds the tasks that are looked at.
const maxStacks = 1 << 17

// readStacks unwinds every task. What cannot be read for one reason is said once.
func (s *scene) readStacks(ctx context.Context, u *kernel.Unwinder) {
	var first error
	broken := 0
	for i, t := range s.tasks {
		if i == maxStacks {
			s.miss("more stacks", fmt.Errorf("%d tasks: %w", len(s.tasks), phys.ErrLimit), "who waits for whom is known in part")
			s.tasks = s.tasks[:maxStacks]
			break
		}
		st, err := u.Stack(ctx, t)
		if err != nil {
			st.Why = err
		}
		if st.Why != nil && !strings.Contains("ZX", t.State.Letter()) && !errors.Is(st.Why, kernel.ErrOffline) {
			if broken++; first == nil {
				first = st.Why
			}
		}
		s.stacks = append(s.stacks, st)
	}
	if first != nil {
		s.miss("some stacks", fmt.Errorf("%d of %d do not come to their end, the first: %w", broken, len(s.tasks), first),
			"callers that stood there are not known")
	}
}

// readCPUs finds what ran where. Without tasks the registers alone begin a stack.
func (s *scene) readCPUs(ctx context.Context, u *kernel.Unwinder) {
	notes, _ := s.k.Dump().CPUs()
	saved := s.k.NoteCPUs()
	numbers := slices.Concat(saved, s.k.OnlineCPUs())
	slices.Sort(numbers)
	for _, cpu := range slices.Compact(numbers) {
		c, note := cpuScene{cpu: cpu}, slices.Index(saved, cpu)
		i := slices.IndexFunc(s.tasks, func(t kernel.Task) bool { return t.OnCPU && t.CPU == cpu })
		switch {
		case i >= 0:
			c.task, c.stack = s.tasks[i], s.stacks[i]
			c.regs, _ = s.k.Registers(c.task)
		case note >= 0:
			c.regs = notes[note].Regs
			c.stack = u.CPU(ctx, c.regs)
		}
		c.stack = died(c.stack)
		s.cpus = append(s.cpus, c)
	}
}

// findCrash finds the CPU that crashed by what it did when it stopped, where the variable
// that has its number is lost.
func (s *scene) findCrash() {
	if _, err := s.k.CrashCPU(); err == nil || errors.Is(err, kernel.ErrNotCrashed) {
		return
	}
	var crashed []int
	for _, c := range s.cpus {
		if f := c.stack.Frames; len(f) > 0 && slices.Contains(taken, Function(f[0].Symbol.Name)) {
			crashed = append(crashed, c.cpu)
		}
	}
	if len(crashed) == 1 {
		s.crash = crashed[0]
	}
}

// byPID finds a task that is not an idle one.
func (s *scene) byPID(pid int) (t kernel.Task, st kernel.Stack, ok bool) {
	i := slices.IndexFunc(s.tasks, func(t kernel.Task) bool { return t.PID == pid && !t.Idle })
	if i < 0 {
		return t, st, false
	}
	return s.tasks[i], s.stacks[i], true
}

// groups are the stacks of all tasks, equal ones together, the most frequent first.
func (s *scene) groups() []Stacks {
	list := make([]kernel.TaskStack, len(s.tasks))
	for i, t := range s.tasks {
		list[i] = kernel.TaskStack{Task: t, Stack: s.stacks[i]}
	}
	out := []Stacks{}
	for _, g := range kernel.GroupStacks(list) {
		group := Stacks{Count: len(g.Tasks), State: g.State.Letter(), PIDs: []int{}, Frames: spell(kernel.Stack{Frames: g.Frames})}
		for _, t := range g.Tasks {
			group.PIDs = append(group.PIDs, t.PID)
		}
		out = append(out, group)
	}
	return out
}

// spell writes the frames as the kernel does, guesses with its "? ".
func spell(st kernel.Stack) []string {
	out := make([]string, 0, len(st.Frames))
	for _, f := range st.Frames {
		if f.Kind == kernel.FrameGuess {
			out = append(out, "? "+f.String())
		} else {
			out = append(out, f.String())
		}
	}
	return out
}
