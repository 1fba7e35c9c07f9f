package triage

import "github.com/kautopsy/kautopsy/oops"

// Schema is the version of the documents. Fields are added under the same version, never renamed or removed.
const Schema = 1

// Report is the answer, as `triage --json` prints it. What is not known is absent.
type Report struct {
	Schema    int       `json:"schema"`
	Verdict   Verdict   `json:"verdict"`
	Signature string    `json:"signature,omitempty"`
	Findings  []Finding `json:"findings"`
	Panic     *Panic    `json:"panic,omitempty"`
	CPUs      []CPU     `json:"cpus,omitempty"` // of a dump whose notes have registers
	Blocked   []Blocked `json:"blocked"`
	Locks     []Lock    `json:"locks"`
	Stacks    []Stacks  `json:"stacks"`
	System    *System   `json:"system,omitempty"`
	LogTail   []string  `json:"log_tail"`
	Missing   []Missing `json:"missing"`
}

// Verdict is what happened, in one line and its parts.
type Verdict struct {
	Kind       oops.Kind  `json:"kind"`
	Title      string     `json:"title,omitempty"`  // the kernel's line; a subject that a search finds
	Headline   string     `json:"headline"`         // the sentence
	Detail     string     `json:"detail,omitempty"` // a second sentence
	Confidence Confidence `json:"confidence"`
	Culprit    *Culprit   `json:"culprit,omitempty"`
	Task       *Task      `json:"task,omitempty"` // that the CPU was running; not always to blame
	CPU        *int       `json:"cpu,omitempty"`
	Context    Context    `json:"context,omitempty"`
}

// Confidence says how sure a statement is; the package comment defines the words.
type Confidence string

// The words of Confidence.
const (
	Sure   Confidence = "sure"
	Likely Confidence = "likely"
	Guess  Confidence = "guess"
)

// weaker is the less confident of two.
func weaker(a, b Confidence) Confidence {
	rank := map[Confidence]int{Sure: 0, Likely: 1, Guess: 2}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// Culprit is where the blame lies. Function is absent where only a module is known to be involved, as in a
// deadlock of several of its functions.
type Culprit struct {
	Function string        `json:"function,omitempty"` // without compiler suffixes
	Offset   *uint64       `json:"offset,omitempty"`
	Module   string        `json:"module,omitempty"` // "" is the kernel itself
	Address  *oops.Address `json:"address,omitempty"`
	File     string        `json:"file,omitempty"`
	Line     int           `json:"line,omitempty"`
	Why      string        `json:"why"`

	Variables []Variable `json:"variables,omitempty"` // of the function, those whose value is known
}

// Task is a task of the crashed machine.
type Task struct {
	PID  *int          `json:"pid,omitempty"`
	Comm string        `json:"comm,omitempty"`
	Task *oops.Address `json:"task,omitempty"` // address of its task_struct
}

// Finding is one thing worth knowing, with the evidence for it.
type Finding struct {
	ID         string     `json:"id"`
	Title      string     `json:"title"`
	Severity   Severity   `json:"severity"`
	Confidence Confidence `json:"confidence"`
	Evidence   []Evidence `json:"evidence"`
	Advice     string     `json:"advice,omitempty"`
}

// Severity says how much a finding has to do with the crash.
type Severity string

// The words of Severity.
const (
	Cause Severity = "cause" // it is the crash, or explains it
	Trace Severity = "trace" // it accompanies the crash
	Note  Severity = "note"  // it is worth knowing
)

// Evidence is a piece of what the dump or the text shows. Line is that of a log line.
type Evidence struct {
	Kind    string        `json:"kind"` // "log", "register", "frame", "task", "memory"
	Text    string        `json:"text"`
	Line    int           `json:"line,omitempty"`
	Address *oops.Address `json:"address,omitempty"`
	Symbol  string        `json:"symbol,omitempty"`
}

// Panic is the state of the CPU that crashed.
type Panic struct {
	Registers map[string]oops.Address `json:"registers,omitempty"`
	Trace     []Frame                 `json:"trace"`
	Code      []Instruction           `json:"code"`
	CodeBytes string                  `json:"code_bytes,omitempty"` // the report's Code: line
}

// Frame is one entry of a stack, the innermost first.
type Frame struct {
	N       int           `json:"n"`
	Kind    string        `json:"kind,omitempty"` // call, exception, irq, nmi, syscall, interrupted, guess
	Address *oops.Address `json:"address,omitempty"`
	SP      *oops.Address `json:"sp,omitempty"`
	Symbol  string        `json:"symbol,omitempty"`
	Offset  *uint64       `json:"offset,omitempty"`
	Module  string        `json:"module,omitempty"`
	Inlined bool          `json:"inlined,omitempty"`
	File    string        `json:"file,omitempty"`
	Line    int           `json:"line,omitempty"`
	Culprit bool          `json:"culprit,omitempty"`
}

// Instruction is one machine instruction.
type Instruction struct {
	Address oops.Address  `json:"address"`
	Symbol  string        `json:"symbol,omitempty"`
	Offset  uint64        `json:"offset"`
	Bytes   string        `json:"bytes,omitempty"`
	Text    string        `json:"text"`
	File    string        `json:"file,omitempty"`
	Line    int           `json:"line,omitempty"`
	Target  *oops.Address `json:"target,omitempty"`
	Fault   bool          `json:"fault,omitempty"`
	Operand *Operand      `json:"operand,omitempty"` // of the one at the fault
}

// Blocked is a task that waits too long.
type Blocked struct {
	Task
	State   string  `json:"state,omitempty"`
	Seconds int     `json:"seconds,omitempty"`
	WaitsOn string  `json:"waits_on,omitempty"`
	Owner   string  `json:"owner,omitempty"`
	Culprit string  `json:"culprit,omitempty"` // the function that waits
	Module  string  `json:"module,omitempty"`
	Frames  []Frame `json:"frames"`

	// From memory: the lock or the like, who keeps the task waiting, and what says so.
	Lock   *oops.Address `json:"lock,omitempty"`
	Owners []Task        `json:"owners,omitempty"`
	How    string        `json:"how,omitempty"`
}

// Lock is a lock that somebody waits for.
type Lock struct {
	Kind    string        `json:"kind"` // mutex, rwsem, spinlock, semaphore
	Address *oops.Address `json:"address,omitempty"`
	Symbol  string        `json:"symbol,omitempty"`
	Owner   *Task         `json:"owner,omitempty"`
	Waiters []Task        `json:"waiters"`
}

// Stacks is a group of tasks with the same stack.
type Stacks struct {
	Count  int      `json:"count"`
	State  string   `json:"state,omitempty"` // as /proc/PID/stat has it
	PIDs   []int    `json:"pids"`
	Frames []string `json:"frames"`
}

// System is the machine and its kernel.
type System struct {
	Kernel      Kernel    `json:"kernel"`
	Hardware    string    `json:"hardware,omitempty"`
	Taint       string    `json:"taint,omitempty"`
	TaintWords  []string  `json:"taint_words,omitempty"`
	CPUs        *int      `json:"cpus,omitempty"`
	Date        string    `json:"date,omitempty"`
	UptimeNS    *int64    `json:"uptime_ns,omitempty"`
	Load        []float64 `json:"load,omitempty"`
	Tasks       *int      `json:"tasks,omitempty"`
	MemoryBytes *uint64   `json:"memory_bytes,omitempty"`
}

// Kernel is the kernel that crashed.
type Kernel struct {
	Release  string `json:"release,omitempty"`
	Version  string `json:"version,omitempty"`
	Machine  string `json:"machine,omitempty"`
	Nodename string `json:"nodename,omitempty"`
	BuildID  string `json:"build_id,omitempty"`
}

// Missing is something that could not be had and what that cost.
type Missing struct {
	What  string `json:"what"`
	Where string `json:"where,omitempty"`
	Why   string `json:"why"`
	Cost  string `json:"cost"`

	// Err is the error behind Why, where there was one.
	Err error `json:"-"`
}
