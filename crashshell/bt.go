package crashshell

import (
	"regexp"
	"strconv"
	"strings"
)

// Backtraces are the stacks of an answer to bt or foreach bt.
type Backtraces struct {
	List []Backtrace `json:"list"`
	Rest []string    `json:"rest,omitempty"` // lines before the first stack that were not understood
}

// Backtrace is the stack of a task.
type Backtrace struct {
	TaskHeader
	Stack      string      `json:"stack,omitempty"` // of bt -E: the name of a CPU's stack; there is no task then
	Active     bool        `json:"active,omitempty"`
	Frames     []Frame     `json:"frames"`
	Scanned    []Frame     `json:"scanned,omitempty"`    // of bt -t and -T: text addresses, no call chain
	Exceptions []Exception `json:"exceptions,omitempty"` // those below no frame, as of bt -e
	Errors     []string    `json:"errors,omitempty"`     // crash's own: "bt: …"
	Rest       []string    `json:"rest,omitempty"`       // lines not understood
}

// Frame is a line of a stack, the innermost first.
type Frame struct {
	Level     int         `json:"level"`
	Slot      Address     `json:"slot,omitempty"` // where on the stack the return address is, not the frame's SP
	Symbol    string      `json:"symbol"`
	Offset    *uint64     `json:"offset,omitempty"` // in the symbol; of bt -s and -sx
	Via       string      `json:"via,omitempty"`    // the symbol through which crash explains the frame
	PC        Address     `json:"pc"`               // the return address; of frame 0 the instruction's
	Module    string      `json:"module,omitempty"`
	Note      string      `json:"note,omitempty"`   // "unreliable"
	Marker    string      `json:"marker,omitempty"` // the change of stacks before it: "<IRQ stack>"
	File      string      `json:"file,omitempty"`   // of bt -l, as the compiler knew it
	Line      int         `json:"line,omitempty"`
	Exception *Exception  `json:"exception,omitempty"` // the registers saved below it
	Stack     []StackLine `json:"stack,omitempty"`     // of bt -f and -F
}

// Exception is a set of registers on a stack: an exception, an interrupt or a system call.
type Exception struct {
	Kind      string     `json:"kind,omitempty"` // "KERNEL-MODE", "System Call [c01]", "LOWCORE INFO"
	At        Address    `json:"at,omitempty"`
	Where     string     `json:"where,omitempty"` // "sysrq_handle_crash+22"
	File      string     `json:"file,omitempty"`  // of Where, of bt -l
	Line      int        `json:"line,omitempty"`
	Registers []Register `json:"registers,omitempty"`
}

// Register is a register by crash's name for it: RIP, X29, R31, PSW. One that is printed with
// several values (PSW, GPRS of s390x) stands here once for each.
type Register struct {
	Name   string  `json:"name"`
	Value  Address `json:"value"`
	Symbol string  `json:"symbol,omitempty"` // arm64: what PC and LR point to
}

// Register gives a register by name, the first of several values.
func (e *Exception) Register(name string) (Address, bool) {
	for _, r := range e.Registers {
		if r.Name == name {
			return r.Value, true
		}
	}
	return 0, false
}

// StackLine is a line of stack memory: words as hexadecimal, or with -F as symbol+offset,
// [CACHE] and [ADDRESS:CACHE].
type StackLine struct {
	Addr  Address  `json:"addr"`
	Words []string `json:"words"`
}

var (
	frameLine     = regexp.MustCompile(`^#(\d+) \[([0-9a-f]+)\] (.+?)(?: \(via (\S+)\))? at ([0-9a-f]+)(?: +\[(\S+)\])?(?: +\(([a-z ]+)\))?$`)
	scannedLine   = regexp.MustCompile(`^(?:START:|\[ *([0-9a-f]+)\]) (.+?) at ([0-9a-f]+)(?: +\[(\S+)\])?$`)
	markerLine    = regexp.MustCompile(`^-+ ?(<.*>|[a-zA-Z ]+) ?-+$`)
	exceptionLine = regexp.MustCompile(`^(?:\[(?:exception RIP|NIP *|LR *|PC *): (.+)\]|(?:NIP|LR) +\[[0-9a-f]+\] (\S+))$`)
	frameAtLine   = regexp.MustCompile(`^(.+?)(?: EXCEPTION FRAME AT:?| FRAME; pt_regs at| FRAME at) ([0-9a-f]+):?$`)
	ptRegsLine    = regexp.MustCompile(`^pt_regs at ([0-9a-f]+):$`) // the line after the frame's own, of s390x
	frameOfLine   = regexp.MustCompile(`^(.+) exception frame:$`)
	stackLine     = regexp.MustCompile(`^([0-9a-f]{8,16}): +(\S.*)$`)
	sourceLine    = regexp.MustCompile(`^(\S.*): (\d+)$`)
	assemblyLine  = regexp.MustCompile(`^\S*/\S+\.S$`) // bt -l of s390x tells no number of those
	cpuStackLine  = regexp.MustCompile(`^CPU (\d+) (.+) STACK:(?:\(none found\))?$`)
	symbolOffset  = regexp.MustCompile(`^(.+)\+(0x[0-9a-f]+|\d+)$`)
)

// ParseBacktraces reads the answer to bt with any of its options, or to foreach bt. The error
// is ErrForm.
func ParseBacktraces(out []byte) (Backtraces, error) {
	p := &btParser{all: Backtraces{List: []Backtrace{}}}
	for line := range answerLines(out) {
		p.line(line)
	}
	return p.all, formError(p.healthy || len(p.all.List) > 0, p.all.Rest)
}

// btParser is where ParseBacktraces is.
type btParser struct {
	all     Backtraces
	marker  string     // for the next frame
	open    *Exception // takes register lines
	last    string     // the register that lines of nothing but values go on with
	healthy bool       // of bt -v: there is nothing to tell
}

func (p *btParser) line(line string) {
	text := strings.TrimSpace(line)
	if text == "" {
		p.open = nil
		return
	}
	if h, ok := parseTaskHeader(text); ok {
		p.begin(Backtrace{TaskHeader: h})
		return
	}
	if m := cpuStackLine.FindStringSubmatch(text); m != nil {
		p.begin(Backtrace{TaskHeader: TaskHeader{CPU: atoi(m[1])}, Stack: m[2]})
		return
	}
	if text == "No stack overflows detected" {
		p.healthy = true
		return
	}
	if len(p.all.List) == 0 {
		p.all.Rest = append(p.all.Rest, line)
		return
	}
	b := &p.all.List[len(p.all.List)-1]
	if !p.frame(b, text) && !p.exception(b, text) && !p.detail(b, text) {
		b.Rest = append(b.Rest, line)
	}
}

func (p *btParser) begin(b Backtrace) {
	b.Frames = []Frame{}
	p.all.List = append(p.all.List, b)
	p.open, p.marker = nil, ""
}

// frame takes a frame of the call chain, or a text address of -t.
func (p *btParser) frame(b *Backtrace, text string) bool {
	if m := frameLine.FindStringSubmatch(text); m != nil {
		f := Frame{
			Level: atoi(m[1]), Slot: parseAddress(m[2]), Via: m[4], PC: parseAddress(m[5]),
			Module: m[6], Note: m[7], Marker: p.marker,
		}
		f.Symbol, f.Offset = splitOffset(m[3])
		b.Frames = append(b.Frames, f)
		p.open, p.marker = nil, ""
		return true
	}
	if m := scannedLine.FindStringSubmatch(text); m != nil {
		f := Frame{Slot: parseAddress(m[1]), PC: parseAddress(m[3]), Module: m[4]}
		f.Symbol, f.Offset = splitOffset(m[2])
		b.Scanned = append(b.Scanned, f)
		return true
	}
	return false
}

// splitOffset takes "schedule+0x5d", or with a decimal offset, or without one.
func splitOffset(s string) (string, *uint64) {
	m := symbolOffset.FindStringSubmatch(s)
	if m == nil {
		return s, nil
	}
	n, err := strconv.ParseUint(m[2], 0, 64)
	if err != nil {
		return s, nil
	}
	return m[1], &n
}

// exception takes the lines of a register block.
func (p *btParser) exception(b *Backtrace, text string) bool {
	if m := frameAtLine.FindStringSubmatch(text); m != nil {
		p.block(b, true).Kind, p.open.At = m[1], parseAddress(m[2])
		return true
	}
	if m := ptRegsLine.FindStringSubmatch(text); m != nil && p.open != nil {
		p.open.At = parseAddress(m[1])
		return true
	}
	if m := frameOfLine.FindStringSubmatch(text); m != nil {
		p.block(b, true).Kind = m[1]
		return true
	}
	if m := exceptionLine.FindStringSubmatch(text); m != nil {
		e := p.block(b, strings.HasPrefix(text, "[exception RIP") && p.open != nil && len(p.open.Registers) > 0)
		if e.Where == "" { // ppc64 names NIP first, then LR
			e.Where = m[1] + m[2]
		}
		return true
	}
	if p.lowcore(b, text) {
		return true
	}
	if list, ok := p.registers(text); ok {
		e := p.block(b, false)
		e.Registers = append(e.Registers, list...)
		return true
	}
	return false
}

// lowcore takes what s390x keeps of a stopped CPU: "-psw      : 0x… 0x…", and lines of values
// below "-general registers:".
func (p *btParser) lowcore(b *Backtrace, text string) bool {
	if text == "LOWCORE INFO:" {
		p.block(b, true).Kind = "LOWCORE INFO"
		return true
	}
	if p.open == nil || p.open.Kind != "LOWCORE INFO" {
		return false
	}
	if m := lowcoreLine.FindStringSubmatch(text); m != nil {
		p.last, text = m[1], m[2]
		if p.last == "function" {
			p.open.Where, _, _ = strings.Cut(text, " at ")
			return true
		}
	}
	if m := sourceLine.FindStringSubmatch(text); m != nil && p.last == "function" {
		p.open.File, p.open.Line = m[1], atoi(m[2])
		return true
	}
	for _, word := range strings.Fields(text) {
		if !lowcoreValue.MatchString(word) {
			return false
		}
	}
	for _, word := range strings.Fields(text) {
		p.open.Registers = append(p.open.Registers, Register{Name: p.last, Value: parseAddress(strings.TrimPrefix(word, "0x"))})
	}
	return true
}

var (
	lowcoreLine  = regexp.MustCompile(`^-([a-z][a-z ]*?) *: *(.*)$`)
	lowcoreValue = regexp.MustCompile(`^0(?:x[0-9a-f]{1,16}|0{1,17})$`)
)

// block is the register block that lines go to: the open one, or a new one below the last
// frame.
func (p *btParser) block(b *Backtrace, fresh bool) *Exception {
	if p.open != nil && !fresh {
		return p.open
	}
	p.last = ""
	if n := len(b.Frames); n > 0 && b.Frames[n-1].Exception == nil {
		b.Frames[n-1].Exception = &Exception{}
		p.open = b.Frames[n-1].Exception
		return p.open
	}
	b.Exceptions = append(b.Exceptions, Exception{})
	p.open = &b.Exceptions[len(b.Exceptions)-1]
	return p.open
}

// registers takes a line of nothing but "NAME: value" pairs. A value may have a [symbol] or
// (user space) behind it, a name may have two words, and the values of one name may go on over
// lines.
func (p *btParser) registers(text string) (list []Register, ok bool) {
	name, pending := "", ""
	if p.open != nil {
		name = p.last
	}
	for _, word := range registerWords.FindAllString(text, -1) {
		bare, isName := strings.CutSuffix(word, ":")
		switch {
		case isName && registerName.MatchString(bare):
			name, pending = strings.TrimSpace(pending+" "+bare), ""
		case pending == "" && name != "" && registerValue.MatchString(word):
			list = append(list, Register{Name: name, Value: parseAddress(word)})
		case pending == "" && len(list) > 0 && registerRemark.MatchString(word):
			list[len(list)-1].Symbol = word[1 : len(word)-1]
		case pending == "" && registerName.MatchString(word):
			pending = word
		default:
			return nil, false
		}
	}
	if len(list) == 0 || pending != "" {
		return nil, false
	}
	p.last = name
	return list, true
}

var (
	registerWords  = regexp.MustCompile(`\[[^\]]+\]|\([^)]+\)|\S+`)
	registerName   = regexp.MustCompile(`^[A-Z][A-Za-z0-9_]*$`)
	registerRemark = regexp.MustCompile(`^(?:\[[^\]]+\]|\([^)]+\))$`)
	registerValue  = regexp.MustCompile(`^[0-9a-f]{1,16}$`)
)

// detail takes what options and accidents add to a stack.
func (p *btParser) detail(b *Backtrace, text string) bool {
	last := func() *Frame { return &b.Frames[len(b.Frames)-1] }
	switch m := stackLine.FindStringSubmatch(text); {
	case text == "(none found)", text == "(no stack)", text == "(cannot determine file and line number)":
	case text == "(active)":
		b.Active = true
	case strings.HasPrefix(text, "bt: "), strings.HasPrefix(text, "foreach: "), strings.HasPrefix(text, "possible stack overflow: "):
		b.Errors = append(b.Errors, text)
	case len(b.Frames) > 0 && m != nil:
		last().Stack = append(last().Stack, StackLine{parseAddress(m[1]), strings.Fields(m[2])})
	case markerLine.MatchString(text):
		p.marker = markerLine.FindStringSubmatch(text)[1]
	case len(b.Frames) > 0 && last().File == "" && sourceLine.MatchString(text):
		m := sourceLine.FindStringSubmatch(text)
		last().File, last().Line = m[1], atoi(m[2])
	case len(b.Frames) > 0 && last().File == "" && assemblyLine.MatchString(text):
		last().File = text
	default:
		return false
	}
	return true
}
