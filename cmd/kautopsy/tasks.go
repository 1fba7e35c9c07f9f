package main

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// chosenTasks are the tasks that foreach picked for the command it runs, in the kernel
// that it has open.
type chosenTasks struct {
	kernel  *kernel.Kernel
	tasks   []kernel.Task
	missing []kernel.Missing
}

// allTasks reads the tasks, by PID with the idle ones first. Tasks that could not be read
// are told, and make the answer partial.
func allTasks(env *environment, k *kernel.Kernel) (tasks []kernel.Task, missing []kernel.Missing, err error) {
	for t, terr := range k.Tasks(env.ctx) {
		if terr != nil {
			missing = append(missing, kernel.NewMissing("tasks", terr, ""))
			env.partial = true
		}
		if t.Addr != 0 {
			tasks = append(tasks, t)
		}
	}
	if len(tasks) == 0 && len(missing) > 0 {
		return nil, nil, missing[0].Err
	}
	if len(missing) > 0 {
		env.warn("%s could not be read in full; the first: %s", count(len(missing), "task"), missing[0].Why)
	}
	slices.SortStableFunc(tasks, func(a, b kernel.Task) int { return cmp.Compare(uint(a.PID), uint(b.PID)) }) // -1, not known, last
	return tasks, missing, nil
}

// pickTasks are the tasks that words name, all of them without words. Below foreach it is
// what foreach picked.
func pickTasks(env *environment, k *kernel.Kernel, words []string) ([]kernel.Task, []kernel.Missing, error) {
	if c := env.chosen; c != nil {
		return c.tasks, c.missing, noMore(words)
	}
	f := &taskFilter{}
	for _, w := range words {
		if err := f.add(w); err != nil {
			return nil, nil, err
		}
	}
	all, missing, err := allTasks(env, k)
	if err != nil {
		return nil, nil, err
	}
	tasks := slices.DeleteFunc(all, func(t kernel.Task) bool { return !f.wanted(t) })
	return tasks, missing, f.answered(env, tasks)
}

// pickOrCrashed are the tasks that words name, without words the one that crashed.
func pickOrCrashed(env *environment, k *kernel.Kernel, words []string) ([]kernel.Task, []kernel.Missing, error) {
	tasks, missing, err := pickTasks(env, k, words)
	if err != nil || len(words) > 0 || env.chosen != nil {
		return tasks, missing, err
	}
	t, err := crashedTask(env, k, tasks)
	if err != nil {
		return nil, nil, fmt.Errorf("which task? %w (kautopsy ps lists them)", err)
	}
	return []kernel.Task{t}, missing, nil
}

// crashedTask is the task that ran on the CPU that crashed. Where no variable tells the CPU
// it is the one whose stack goes through the kernel's way of dying.
func crashedTask(env *environment, k *kernel.Kernel, tasks []kernel.Task) (kernel.Task, error) {
	running := slices.DeleteFunc(slices.Clone(tasks), func(t kernel.Task) bool { return !t.OnCPU })
	cpu, err := k.CrashCPU()
	if err == nil {
		i := slices.IndexFunc(running, func(t kernel.Task) bool { return t.CPU == cpu })
		if i < 0 {
			return kernel.Task{}, errors.New("no task ran on the CPU that crashed")
		}
		return running[i], nil
	}
	if !errors.Is(err, symbols.ErrNoSymbol) {
		return kernel.Task{}, err
	}
	u, uerr := k.Unwinder(env.ctx)
	if uerr != nil {
		return kernel.Task{}, err
	}
	for _, t := range running {
		if s, serr := u.Stack(env.ctx, t); serr == nil && slices.ContainsFunc(s.Frames, dies) {
			return t, nil
		}
	}
	return kernel.Task{}, err
}

// dies tells whether a frame is of the kernel's way of dying.
func dies(f kernel.Frame) bool {
	return f.Kind != kernel.FrameGuess && slices.Contains([]string{"panic", "vpanic", "die", "oops_end", "crash_kexec", "__crash_kexec"}, f.Symbol.Name)
}

// taskFilter tells which tasks a command line asks for. Tasks are looked up, not compared
// with each word: foreach may name thousands. The zero value wants all.
type taskFilter struct {
	pids   map[int]bool
	addrs  map[uint64]bool
	comms  map[string]bool
	match  []*regexp.Regexp
	words  []string
	states map[string]bool

	kernel, user, leaders, active bool
}

// add takes a PID (decimal), the address of a task_struct, a name, or a regular expression
// of names. crash wants that in ' ', which here is needed only where nothing else tells.
func (f *taskFilter) add(word string) error {
	f.words = append(f.words, word)
	if pid, err := strconv.Atoi(word); err == nil {
		put(&f.pids, pid)
	}
	if a, err := strconv.ParseUint(strings.TrimPrefix(word, "0x"), 16, 64); err == nil {
		put(&f.addrs, a)
	}
	pattern, quoted := strings.CutPrefix(word, "'")
	if !quoted { // crash: a name, even if it is that of a command
		put(&f.comms, strings.TrimPrefix(word, `\`))
	}
	if !quoted && (word[:min(1, len(word))] == `\` || !strings.ContainsAny(word, "*+?[](){}|^$")) {
		return nil
	}
	re, err := regexp.Compile(strings.TrimSuffix(pattern, "'"))
	if err != nil && quoted {
		return usagef("%s: %v", word, err)
	}
	if err == nil {
		f.match = append(f.match, re)
	}
	return nil
}

func put[K comparable](m *map[K]bool, key K) {
	if *m == nil {
		*m = make(map[K]bool)
	}
	(*m)[key] = true
}

// addState takes a state as ps prints it, several separated by commas.
func (f *taskFilter) addState(list string) error {
	for _, s := range strings.Split(list, ",") {
		s = strings.ToUpper(strings.TrimSpace(s))
		if !slices.Contains(kernel.TaskStates(), s) {
			return usagef("no state %q; there are %s", s, strings.Join(kernel.TaskStates(), ", "))
		}
		put(&f.states, s)
	}
	return nil
}

// wanted tells whether a task is asked for.
func (f *taskFilter) wanted(t kernel.Task) bool {
	switch {
	case f.kernel && !t.KernelThread, f.user && t.KernelThread,
		f.leaders && t.PID != t.TGID, f.active && !t.OnCPU,
		f.states != nil && !f.states[t.State.String()]:
		return false
	}
	return len(f.words) == 0 || f.pids[t.PID] || f.addrs[t.Addr] || f.comms[t.Comm] ||
		slices.ContainsFunc(f.match, func(re *regexp.Regexp) bool { return re.MatchString(t.Comm) })
}

// answered tells of words that named no task, which is an error when all of them did.
func (f *taskFilter) answered(env *environment, tasks []kernel.Task) error {
	if len(tasks) == 0 && len(f.words) > 0 {
		return fmt.Errorf("no task %s (kautopsy ps lists them)", strings.Join(f.words, " "))
	}
	have := &taskFilter{}
	for _, t := range tasks {
		put(&have.pids, t.PID)
		put(&have.addrs, t.Addr)
		put(&have.comms, t.Comm)
	}
	for _, w := range f.words {
		one := &taskFilter{}
		if err := one.add(w); err == nil && len(one.match) == 0 && !meet(one.pids, have.pids) &&
			!meet(one.addrs, have.addrs) && !meet(one.comms, have.comms) {
			env.warn("no task %s", w)
		}
	}
	return nil
}

// meet tells whether two sets have something in common, the first being small.
func meet[K comparable](a, b map[K]bool) bool {
	for key := range a {
		if b[key] {
			return true
		}
	}
	return false
}

// taskHead is crash's line above what it says of a task.
func taskHead(t kernel.Task) string {
	return fmt.Sprintf("PID: %-8s TASK: %016x  CPU: %-3s  COMMAND: %q", known(t.PID), t.Addr, known(t.CPU), printable(t.Comm))
}

// known is a number of a task, "?" for one that could not be read.
func known(n int) string {
	if n < 0 {
		return "?"
	}
	return strconv.Itoa(n)
}
