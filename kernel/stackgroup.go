package kernel

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"
)

// TaskStack is a task with its stack.
type TaskStack struct {
	Task  Task
	Stack Stack
}

// Stacks walks the tasks with their stacks. An error comes with a task without an address
// where a task could not be read; a stack that could not be read to its end has the reason in
// Why. Walk it once: it costs some milliseconds for a hundred tasks.
func (k *Kernel) Stacks(ctx context.Context) iter.Seq2[TaskStack, error] {
	return func(yield func(TaskStack, error) bool) {
		u, err := k.Unwinder(ctx)
		if err != nil {
			yield(TaskStack{}, err)
			return
		}
		for t, err := range k.Tasks(ctx) {
			if err != nil && !yield(TaskStack{}, err) {
				return
			}
			if t.Addr == 0 {
				continue
			}
			s, err := u.Stack(ctx, t)
			if err != nil && s.Why == nil {
				s.Why = err
			}
			if !yield(TaskStack{t, s}, nil) {
				return
			}
		}
	}
}

// StackGroup is tasks in one state with the same functions on their stacks. Offsets in them
// may differ.
type StackGroup struct {
	State  TaskState
	Tasks  []Task  // by PID
	Frames []Frame // of the first task, innermost first
}

// GroupStacks puts equal stacks together, the largest group first.
func GroupStacks(list []TaskStack) []StackGroup {
	at := make(map[string]int)
	var groups []StackGroup
	for _, ts := range list {
		key := stackKey(ts)
		i, seen := at[key]
		if !seen {
			i = len(groups)
			at[key] = i
			groups = append(groups, StackGroup{State: ts.Task.State, Frames: ts.Stack.Frames})
		}
		groups[i].Tasks = append(groups[i].Tasks, ts.Task)
	}
	for i := range groups {
		slices.SortFunc(groups[i].Tasks, func(a, b Task) int { return cmp.Compare(a.PID, b.PID) })
	}
	slices.SortStableFunc(groups, func(a, b StackGroup) int {
		return cmp.Or(cmp.Compare(len(b.Tasks), len(a.Tasks)), cmp.Compare(a.Tasks[0].PID, b.Tasks[0].PID))
	})
	return groups
}

// stackKey is equal for stacks of one group.
func stackKey(ts TaskStack) string {
	var key strings.Builder
	key.WriteString(ts.Task.State.String())
	for _, f := range ts.Stack.Frames {
		key.WriteByte(0)
		key.WriteString(string(f.Kind))
		key.WriteByte(0)
		key.WriteString(f.Symbol.Name)
		key.WriteByte(0)
		key.WriteString(f.Symbol.Module)
	}
	return key.String()
}
