package kernel

import (
	"cmp"
	"slices"
	"strings"
)

// TaskStack is a task with its stack.
type TaskStack struct {
	Task  Task
	Stack Stack
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
