package oops

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// ErrNoReport is wrapped by the error of [Parse] when the text holds no report.
var ErrNoReport = errors.New("no kernel report in the text")

// Log is a kernel text, read. It keeps nothing of the bytes it was read from.
type Log struct {
	Oopses   []*Oops    `json:"oopses"`             // the one that explains the crash, then the others as they stand
	Boots    []Boot     `json:"boots,omitempty"`    // kernels whose start or time stamps are in the text
	Requests []*Request `json:"requests,omitempty"` // what SysRq was asked to show
	Lines    int        `json:"lines"`
	Omitted  int        `json:"omitted,omitempty"` // reports beyond the limit, left out in the middle
}

// Boot is the part of a text that one running kernel wrote.
type Boot struct {
	FirstLine   int    `json:"first_line"`
	Release     string `json:"release,omitempty"`
	Banner      string `json:"banner,omitempty"` // the "Linux version" line
	CommandLine string `json:"command_line,omitempty"`
	Capture     bool   `json:"capture,omitempty"` // a kdump capture kernel: it was given elfcorehdr=
}

// Oops is one report. Line numbers count from 1.
type Oops struct {
	Kind      Kind   `json:"kind"`
	Title     string `json:"title"` // the headline as the kernel printed it
	FirstLine int    `json:"first_line"`
	TitleLine int    `json:"title_line"`
	LastLine  int    `json:"last_line"`
	Boot      int    `json:"boot"` // index in Log.Boots

	Time   *time.Duration `json:"time_ns,omitempty"` // since boot, of the headline
	Stamp  string         `json:"stamp,omitempty"`   // the time as it is written in the text
	Caller string         `json:"caller,omitempty"`  // printk's caller, "T187" or "C1"

	Message string  `json:"message,omitempty"` // what WARN() or BUG() was given to say
	Source  *Source `json:"source,omitempty"`  // FILE:LINE of BUG, WARN, UBSAN
	Number  int     `json:"number,omitempty"`  // N of [#N]: 1 is the first oops since boot
	Panic   string  `json:"panic,omitempty"`   // text of the "Kernel panic - not syncing:" line
	Fault   *Fault  `json:"fault,omitempty"`
	State           // of the CPU and task that the report is about

	PanicState *State  `json:"panic_state,omitempty"` // of the CPU that called panic(), when it printed its own
	StuckCPUs  []int   `json:"stuck_cpus,omitempty"`  // that a lockup or stall report names
	Backtraces []State `json:"backtraces,omitempty"`  // of other CPUs, asked for by NMI
	Tasks      []Task  `json:"tasks,omitempty"`       // blocked tasks of a hung task or stall report
	Related    []Stack `json:"related,omitempty"`     // who allocated, freed, took a lock
	OOM        *OOM    `json:"oom,omitempty"`
	EndTrace   string  `json:"end_trace,omitempty"` // id of the "end trace" line

	class  class
	dieAt  int    // line of the die header, 0 before it was seen
	report string // the WARNING: or BUG: line, which is not the title where a note came before
}

// State is what the kernel prints of one CPU and the task on it.
type State struct {
	CPU       *int   `json:"cpu,omitempty"`
	PID       *int   `json:"pid,omitempty"`
	UID       *int   `json:"uid,omitempty"`
	Comm      string `json:"comm,omitempty"`
	Taint     string `json:"taint,omitempty"` // letters without blanks; "" when not tainted or not told
	Tainted   *bool  `json:"tainted,omitempty"`
	Kdump     bool   `json:"kdump,omitempty"` // "Kdump: loaded"
	Release   string `json:"release,omitempty"`
	Version   string `json:"version,omitempty"`
	BuildID   string `json:"build_id,omitempty"` // of the kernel, with CONFIG_STACKTRACE_BUILD_ID (5.14 on)
	Hardware  string `json:"hardware,omitempty"`
	Workqueue *Work  `json:"workqueue,omitempty"`

	PC        *Frame             `json:"pc,omitempty"` // RIP, EIP, pc, NIP, epc, PSW
	LR        *Frame             `json:"lr,omitempty"` // lr, ra: where PC's function returns to
	Registers map[string]Address `json:"registers,omitempty"`
	Code      string             `json:"code,omitempty"` // bytes or words; the one at PC in <> or ()
	Trace     []Frame            `json:"trace,omitempty"`
	Modules   []Module           `json:"modules,omitempty"`
}

// Fault is what the processor said of a memory fault.
type Fault struct {
	Address *Address `json:"address,omitempty"`
	Access  string   `json:"access,omitempty"` // "read", "write", "execute"
	Code    *Address `json:"code,omitempty"`   // x86 error code, arm64 ESR
	Notes   []string `json:"notes,omitempty"`  // "#PF: ...", "KASAN: ..." as printed
}

// Context is what a CPU was doing while a frame was on its stack.
type Context string

// Contexts as the kernel marks them. A frame without a mark has none.
const (
	InTask      Context = "task"
	InIRQ       Context = "irq"
	InSoftIRQ   Context = "softirq"
	InNMI       Context = "nmi"
	InException Context = "exception" // #DF, #MC, #DB, #VC, an entry or overflow stack
	InUser      Context = "user"
)

// Frame is a place in code. Size is that of the whole function, 0 when not told.
type Frame struct {
	Symbol  string   `json:"symbol,omitempty"`
	Offset  uint64   `json:"offset"`
	Size    uint64   `json:"size,omitempty"`
	Module  string   `json:"module,omitempty"`
	BuildID string   `json:"build_id,omitempty"` // of the module, likewise
	Address *Address `json:"address,omitempty"`
	Unsure  bool     `json:"unsure,omitempty"` // "?": an address found on the stack, perhaps a leftover
	Context Context  `json:"context,omitempty"`

	// Interrupted marks an instruction pointer printed in the midst of a trace: an interrupt, exception or
	// system call came in there. Registers are those at that place.
	Interrupted bool               `json:"interrupted,omitempty"`
	Registers   map[string]Address `json:"registers,omitempty"`

	// Source is where the code was compiled from, the innermost inlined function first. A text
	// does not tell it; package oops/decode finds it in debug information.
	Source []Source `json:"source,omitempty"`
}

// Module is a loaded module and the flags printed behind it: taint letters, "+" while it loads, "-" while it
// unloads.
type Module struct {
	Name  string `json:"name"`
	Flags string `json:"flags,omitempty"`
}

// Work is the content of a Workqueue: line.
type Work struct {
	Queue    string `json:"queue"`
	Function string `json:"function,omitempty"`
	Module   string `json:"module,omitempty"`
}

// Source is a place in source code.
type Source struct {
	File     string `json:"file"`
	Line     int    `json:"line"`
	Function string `json:"function,omitempty"` // that was inlined there
}

// Task is a task whose stack is shown because it waits.
type Task struct {
	Comm    string  `json:"comm"`
	PID     *int    `json:"pid,omitempty"`
	State   string  `json:"state,omitempty"`    // "D", "S", ...
	Seconds int     `json:"seconds,omitempty"`  // "blocked for more than"
	WaitsOn string  `json:"waits_on,omitempty"` // "mutex", "semaphore", "rw-semaphore"
	Owner   string  `json:"owner,omitempty"`    // comm:pid that likely holds it
	Line    int     `json:"line"`
	Trace   []Frame `json:"trace,omitempty"`
}

// Stack is a stack with a heading: "Freed by task 12:".
type Stack struct {
	Heading string  `json:"heading"`
	Line    int     `json:"line"`
	Trace   []Frame `json:"trace,omitempty"`
}

// Request is the output of a SysRq that shows something: blocked tasks, memory, backtraces.
type Request struct {
	Name       string  `json:"name"` // "Show Blocked State"
	FirstLine  int     `json:"first_line"`
	LastLine   int     `json:"last_line"`
	Boot       int     `json:"boot"`
	Tasks      []Task  `json:"tasks,omitempty"`
	Backtraces []State `json:"backtraces,omitempty"`
}

// Address is an address or a register's value; in JSON a string "0x...".
type Address uint64

func (a Address) String() string { return "0x" + strconv.FormatUint(uint64(a), 16) }

// MarshalText implements [encoding.TextMarshaler].
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (a *Address) UnmarshalText(b []byte) error {
	v, err := strconv.ParseUint(string(b), 0, 64)
	if err != nil {
		return fmt.Errorf("address %q: %w", b, err)
	}
	*a = Address(v)
	return nil
}

// String is the frame as the kernel prints it: "fn+0x10/0x20 [mod]", or the bare address.
func (f Frame) String() string {
	if f.Symbol == "" {
		if f.Address == nil {
			return ""
		}
		return f.Address.String()
	}
	s := f.Symbol + "+0x" + strconv.FormatUint(f.Offset, 16)
	if f.Size != 0 {
		s += "/0x" + strconv.FormatUint(f.Size, 16)
	}
	if f.Module != "" {
		s += " [" + f.Module + "]"
	}
	return s
}

// MarshalJSON implements [json.Marshaler]. A bare address has no offset.
func (f Frame) MarshalJSON() ([]byte, error) {
	type plain Frame
	out := struct {
		plain
		Offset *uint64 `json:"offset,omitempty"`
	}{plain: plain(f)}
	if f.Symbol != "" {
		out.Offset = &f.Offset
	}
	return json.Marshal(out)
}

// Fatal reports whether the report is of a kind that ends the task or the machine.
func (o *Oops) Fatal() bool { return o.Panic != "" || o.dieAt != 0 || fatalKinds[o.Kind] }

// Parse reads text. The Log is never nil; when it holds no report, the error wraps [ErrNoReport].
func Parse(text []byte) (*Log, error) {
	p := newParser()
	p.read(text)
	log := p.finish()
	if len(log.Oopses) == 0 {
		return log, fmt.Errorf("%w (%d lines)", ErrNoReport, log.Lines)
	}
	return log, nil
}
