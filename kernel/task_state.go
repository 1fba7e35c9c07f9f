package kernel

import "slices"

// TaskState is task_struct.__state with exit_state.
type TaskState uint64

// The bits of TaskState that never moved since 4.14 (include/linux/sched.h).
const (
	stateInterruptible   TaskState = 0x1
	stateUninterruptible TaskState = 0x2
	stateStopped         TaskState = 0x4
	stateTraced          TaskState = 0x8
	stateDead            TaskState = 0x10
	stateZombie          TaskState = 0x20
	stateParked          TaskState = 0x40
	stateNoLoad          TaskState = 0x400
	stateNew             TaskState = 0x800
	stateLockWait        TaskState = 0x1000 // on a sleeping spinlock, 5.15 on
	stateFrozen          TaskState = 0x8000 // 6.1 on

	// StateUnknown is that of a task whose state could not be read.
	StateUnknown TaskState = 1 << 63
)

// stateNames in the order in which crash's ps and the kernel look at the bits, the highest
// first: a zombie is a zombie whatever it waited for.
var stateNames = []struct {
	bits          TaskState
	letter, short string
}{
	{StateUnknown, "?", "??"},
	{stateUninterruptible | stateNoLoad, "I", "ID"},
	{stateParked, "P", "PA"},
	{stateZombie, "Z", "ZO"},
	{stateDead, "X", "DE"},
	{stateTraced, "t", "TR"},
	{stateStopped, "T", "ST"},
	{stateFrozen, "D", "UN"},
	{stateLockWait, "D", "UN"},
	{stateUninterruptible, "D", "UN"},
	{stateInterruptible, "S", "IN"},
	{stateNew, "R", "NE"},
}

// TaskStates are the words that TaskState.String has for states.
func TaskStates() []string {
	all := []string{"RU"}
	for _, n := range stateNames {
		if n.bits != StateUnknown && !slices.Contains(all, n.short) {
			all = append(all, n.short)
		}
	}
	return all
}

// name finds the row of a state; ok is false for a running task.
func (s TaskState) name() (letter, short string) {
	for _, n := range stateNames {
		if s&n.bits == n.bits {
			return n.letter, n.short
		}
	}
	return "R", "RU"
}

// Letter is the state as /proc/PID/stat has it: R, S, D, T, t, X, Z, P or I; ? if not known.
func (s TaskState) Letter() string { letter, _ := s.name(); return letter }

// String is the state as crash's ps has it: RU, IN, UN, ST, TR, DE, ZO, PA or ID; ?? if not known.
func (s TaskState) String() string { _, short := s.name(); return short }

// Blocked tells whether the task waits where no signal reaches it, and counts as load.
func (s TaskState) Blocked() bool {
	return s&(stateUninterruptible|stateNoLoad) == stateUninterruptible && s&(stateZombie|stateDead) == 0
}
