package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/mm"
	"github.com/kautopsy/kautopsy/phys"
)

// userFlags say that an address is one of user space, and of which task.
type userFlags struct {
	user bool
	task string
}

func addUserFlags(fs *pflag.FlagSet) *userFlags {
	f := &userFlags{}
	fs.BoolVarP(&f.user, "user", "u", false, "the address is one of user space, of the task that crashed")
	fs.StringVarP(&f.task, "task", "c", "", "the same, of `TASK`: a PID, the address of a task_struct, a name")
	return f
}

func (f *userFlags) set() bool { return f.user || f.task != "" }

// userProcess is a process whose memory is asked for.
type userProcess struct {
	task   kernel.Task
	space  kernel.Object // struct mm_struct
	mm     *mm.Memory
	memory *kernel.UserMemory
}

// process is the one whose address va is; nil when it is one of the kernel. Without a flag
// that is told by the address, where a process crashed.
func (f *userFlags) process(env *environment, k *kernel.Kernel, va uint64) (*userProcess, error) {
	if !f.set() && (va < uint64(k.PageSize()) || !k.IsUser(va)) { // NULL + n is an address that a fault has
		return nil, nil
	}
	p, err := f.find(env, k)
	switch {
	case err == nil || f.set():
		return p, err
	case errors.Is(err, kernel.ErrNoUser):
		return nil, fmt.Errorf("%#x is an address of user space, and %w", va, err)
	}
	return nil, nil
}

func (f *userFlags) find(env *environment, k *kernel.Kernel) (*userProcess, error) {
	var words []string
	if f.task != "" {
		words = []string{f.task}
	}
	tasks, _, err := pickOrCrashed(env, k, words)
	if err != nil {
		return nil, err
	}
	p := &userProcess{task: tasks[0], mm: mm.New(k)}
	p.space, err = p.mm.AddressSpace(p.task)
	if errors.Is(err, phys.ErrUnmapped) {
		return nil, fmt.Errorf("task %d (%s) has %w: -c names one that has", p.task.PID, p.task.Comm, kernel.ErrNoUser)
	}
	if err != nil {
		return nil, err
	}
	p.memory, err = k.UserMemory(p.space)
	return p, err
}

// pid is that of the process, nil for the kernel.
func (p *userProcess) pid() *int {
	if p == nil {
		return nil
	}
	return &p.task.PID
}

// of says whose address could not be had.
func (p *userProcess) of(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("task %d (%s): %w", p.task.PID, p.task.Comm, err)
}

func (p *userProcess) read(b []byte, va uint64) (int, error) {
	n, err := p.memory.ReadVirt(b, va)
	return n, p.of(err)
}

// mapping is that which va is in, nil where none is, or none can be read.
func (p *userProcess) mapping(env *environment, va uint64) *mm.VMA {
	for v, err := range p.mm.VMAs(env.ctx, p.space) {
		if err == nil && v.Start <= va && va < v.End {
			return &v
		}
	}
	return nil
}

// translate goes through the page tables of the process.
func (p *userProcess) translate(env *environment, va uint64) (translation, error) {
	t := translation{Virtual: hexAddress(va), PID: p.pid(), mapping: p.mapping(env, va)}
	if t.mapping != nil {
		v := newVMAJSON(*t.mapping)
		t.VMA = &v
	}
	w, err := p.memory.Walk(va)
	t.went(w)
	if err != nil {
		t.unmapped = errors.Is(err, phys.ErrUnmapped)
		t.Why = err.Error()
		return t, p.of(err)
	}
	a := hexAddress(w.Addr)
	t.Physical, t.How, t.PageSize, t.Flags = &a, "page tables of the process", w.PageSize, w.Flags
	return t, nil
}
