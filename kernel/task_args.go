package kernel

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/phys"
)

// ErrNoUser: the task has no memory of user space: a kernel thread, or a process that has
// let go of it.
var ErrNoUser = errors.New("no user memory")

// maxArgs is what is read of arguments or environment at most; the kernel allows 6 MiB of
// both (_STK_LIM / 4 * 3, fs/exec.c).
const maxArgs = 6 << 20

// Arguments are the command line and the environment of a process as they are in its own
// memory, mm_struct.arg_start and env_start: a process may have written over them. Kernel
// threads have none, ErrNoUser. Where a page is absent, what comes before it is there, and
// the error has the reason of package phys.
func (t Task) Arguments() (args, env []string, err error) {
	at, err := t.Pointer("mm")
	if err != nil {
		return nil, nil, err
	}
	if at == 0 || t.KernelThread {
		return nil, nil, fmt.Errorf("task %d: %w", t.PID, ErrNoUser)
	}
	mm, err := t.Follow("mm")
	if err != nil {
		return nil, nil, err
	}
	u, err := t.k.UserMemory(mm)
	if err != nil {
		return nil, nil, err
	}
	args, aerr := u.strings(mm, "arg_start", "arg_end")
	env, eerr := u.strings(mm, "env_start", "env_end")
	return args, env, errors.Join(aerr, eerr)
}

// strings reads the strings between the addresses in two members.
func (u *UserMemory) strings(mm Object, from, to string) ([]string, error) {
	f := mm.Fields()
	start, end := f.Uint(from), f.Uint(to)
	if err := f.Err(); err != nil || start >= end {
		return nil, err
	}
	if end-start > maxArgs {
		return nil, fmt.Errorf("%s: %d bytes: %w", from, end-start, phys.ErrLimit)
	}
	p := make([]byte, end-start)
	n, err := u.ReadVirt(p, start)
	if err != nil {
		err = fmt.Errorf("%s: %w", from, err)
	}
	if n == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(p[:n]), "\x00"), "\x00"), err
}
