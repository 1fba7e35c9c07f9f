package crashshell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"strconv"
	"strings"
)

// ErrForm is an answer of which no line has a form that its parser knows.
var ErrForm = errors.New("not in a form that crash is known to answer in")

// Address is a kernel address, or a register; JSON has it as a string "0x…".
type Address uint64

// MarshalJSON writes the address as a string, since numbers of JSON lose bits.
func (a Address) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, `"%#x"`, uint64(a)), nil }

// parseAddress reads hexadecimal digits without 0x, as crash prints addresses.
func parseAddress(s string) Address {
	n, _ := strconv.ParseUint(s, 16, 64)
	return Address(n)
}

// TaskHeader is the line with which crash begins what it says about a task.
type TaskHeader struct {
	PID     int     `json:"pid"`
	Task    Address `json:"task"` // of the task_struct
	CPU     int     `json:"cpu"`
	Command string  `json:"command"` // task_struct.comm; it may hold any byte
}

// 7.2.9, 8.x and 9.x pad the fields differently.
var taskHeaderLine = regexp.MustCompile(`^PID:\s+(\d+)\s+TASK:\s+([0-9a-f]+)\s+CPU:\s+(\d+)\s+COMMAND:\s+"(.*)"$`)

func parseTaskHeader(line string) (h TaskHeader, ok bool) {
	m := taskHeaderLine.FindStringSubmatch(strings.TrimSpace(line))
	if m == nil {
		return h, false
	}
	return TaskHeader{atoi(m[1]), parseAddress(m[2]), atoi(m[3]), m[4]}, true
}

// atoi reads digits that a pattern matched; more than an int holds is the greatest one.
func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// answerLines are the lines of an answer without their ends. Trailing blanks stay: only the
// caller knows whether they are padding.
func answerLines(out []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range bytes.Lines(out) {
			if !yield(strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")) {
				return
			}
		}
	}
}

// formError is ErrForm when an answer has lines and none of them was known.
func formError(known bool, rest []string) error {
	if known || len(rest) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %q", ErrForm, rest[0])
}

// rows reads an answer that is a table: heading lines, each followed by rows. A row is read
// only below a heading; row tells whether it is one.
func rows(out []byte, heading *regexp.Regexp, row func(line string) bool) (rest []string, err error) {
	known := false
	for line := range answerLines(out) {
		switch {
		case strings.TrimSpace(line) == "":
		case heading.MatchString(line):
			known = true
		case !known || !row(line):
			rest = append(rest, line)
		}
	}
	return rest, formError(known, rest)
}

// typed are the answers that Typed knows, by the command's first words.
var typed = []struct {
	words string
	parse func([]byte) (any, error)
}{
	{"sys", anyOf(ParseSys)},
	{"bt", anyOf(ParseBacktraces)},
	{"ps", anyOf(ParseProcesses)},
	{"log", anyOf(ParseLog)},
	{"mod", anyOf(ParseModules)},
	{"kmem -i", anyOf(ParseMemoryInfo)},
	{"irq", anyOf(ParseIrqs)},
	{"files", anyOf(ParseFiles)},
	{"mount", anyOf(ParseMounts)},
	{"net", anyOf(ParseNet)},
	{"struct", anyOf(ParseStruct)},
	{"union", anyOf(ParseStruct)},
	{"dis", anyOf(ParseDisassembly)},
	{"sym", anyOf(ParseSymbols)},
}

func anyOf[T any](parse func([]byte) (T, error)) func([]byte) (any, error) {
	return func(out []byte) (any, error) { return parse(out) }
}

// Typed parses the output by what its command is: a Sys, Backtraces, Processes, Log, Modules,
// MemoryInfo, Irqs, Files, Mounts, Net, Struct, Disassembly or Symbols; nil for commands
// without a type. Options may ask for a form that has none: the error is ErrForm then, and the
// lines are in Rest. foreach answers as the command that it repeats.
func (a *Answer) Typed() (any, error) {
	words := strings.Fields(a.Command)
	if len(words) > 0 && words[0] == "foreach" {
		words = foreachCommand(words[1:])
	}
	command := strings.Join(words, " ") + " "
	for _, t := range typed {
		if strings.HasPrefix(command, t.words+" ") {
			return t.parse(a.Output)
		}
	}
	return nil, nil
}

// foreachCommand skips the tasks that foreach names: the command is the first word that foreach
// knows as one.
func foreachCommand(words []string) []string {
	for i, w := range words {
		switch w {
		case "bt", "vm", "task", "files", "net", "set", "ps", "sig", "vtop":
			return words[i:]
		}
	}
	return nil
}

// ask runs a command and parses its answer. What crash said before it failed is parsed too,
// and comes with the error.
func ask[T any](ctx context.Context, s *Session, parse func([]byte) (T, error), command string, args []string) (T, error) {
	a, err := s.Run(ctx, strings.Join(append([]string{command}, args...), " "))
	t, wrong := parse(a.Output)
	if err != nil {
		return t, err
	}
	return t, wrong
}

// Sys asks for crash's banner: sys.
func (s *Session) Sys(ctx context.Context) (Sys, error) { return ask(ctx, s, ParseSys, "sys", nil) }

// Backtraces asks for stacks: bt with these arguments ("-a", "-sx", "-l", a PID). Without any it
// is that of the panic task.
func (s *Session) Backtraces(ctx context.Context, args ...string) (Backtraces, error) {
	return ask(ctx, s, ParseBacktraces, "bt", args)
}

// AllBacktraces asks for the stacks of all tasks: foreach bt with these arguments.
func (s *Session) AllBacktraces(ctx context.Context, args ...string) (Backtraces, error) {
	return ask(ctx, s, ParseBacktraces, "foreach bt", args)
}

// Processes asks for tasks: ps with these arguments.
func (s *Session) Processes(ctx context.Context, args ...string) (Processes, error) {
	return ask(ctx, s, ParseProcesses, "ps", args)
}

// Modules asks for the loaded modules: mod with these arguments.
func (s *Session) Modules(ctx context.Context, args ...string) (Modules, error) {
	return ask(ctx, s, ParseModules, "mod", args)
}

// Log asks for the kernel's log: log with these arguments.
func (s *Session) Log(ctx context.Context, args ...string) (Log, error) {
	return ask(ctx, s, ParseLog, "log", args)
}
