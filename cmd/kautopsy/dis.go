package main

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/disasm"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

type disFlags struct {
	dump             *dumpFlags
	reverse, forward bool
	intel            bool
	hex              bool
	bytes            bool
	lines, text      bool
	source           string
	json             bool
}

func disCommand() command {
	return command{
		name: "dis", group: "Code", args: "DUMP SYMBOL|ADDRESS[+OFFSET] [COUNT]",
		short: "disassemble a function, as it lay in memory",
		long: `The code is that of the dump, with all that the kernel patched in at run time:
alternatives, ftrace, static keys. A symbol alone shows its whole function, an
address or SYMBOL+OFFSET one instruction, or COUNT. "=>" marks the instruction
at which the crashed task was interrupted, and that of the address asked for.

With -l the line of an instruction is that of the innermost inlined function.`,
		example: "kautopsy dis -r /var/crash/vmcore sysrq_handle_crash+10",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &disFlags{dump: addCodeFlags(fs)}
			fs.BoolVarP(&f.reverse, "reverse", "r", false, "from the begin of the function up to the address; the last COUNT of these")
			fs.BoolVarP(&f.forward, "forward", "f", false, "from the address to the end of the function; the first COUNT of these")
			fs.BoolVar(&f.intel, "intel", false, "Intel's syntax in place of AT&T's (x86)")
			fs.BoolVarP(&f.hex, "hex", "x", false, "offsets in hexadecimal")
			fs.BoolVarP(&f.bytes, "bytes", "b", false, "show the bytes of each instruction")
			fs.BoolVarP(&f.lines, "lines", "l", false, "file and line before the instructions that come from them, by the kernel's vmlinux")
			fs.BoolVarP(&f.text, "text", "s", false, "likewise, with the text of the line, from --source")
			fs.StringVar(&f.source, "source", "", "the kernel's sources, or a module's, are in `DIR`")
			fs.BoolVar(&f.json, "json", false, "print JSON")
			return f.run
		},
	}
}

func (f *disFlags) run(env *environment, args []string) error {
	switch {
	case f.reverse && f.forward:
		return usagef("either -r or -f, not both")
	case f.text && f.source == "":
		return usagef("-s: where is the source? Name its folder with --source")
	}
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	if len(rest) == 0 {
		return usagef("which function or address?")
	}
	if len(rest) > 2 {
		return usagef("one argument too many: %q", rest[2])
	}
	count, err := f.count(rest[1:])
	if err != nil {
		return err
	}
	p, err := f.printer(env, k)
	if err != nil {
		return err
	}
	defer p.tree.close()
	if p.asked, err = resolve(env, k, rest[0]); err != nil {
		return err
	}
	list, err := p.choose(rest[0], count)
	if len(list) == 0 {
		return err
	}
	if err != nil {
		env.warn("%v", err)
		env.partial = true
	}
	p.fault = crashedAt(env, k)
	return p.print(list, err)
}

// maxInstructions bounds COUNT.
const maxInstructions = 1 << 20

// count is COUNT, 0 where none is given.
func (f *disFlags) count(args []string) (int, error) {
	if len(args) == 0 {
		return 0, nil
	}
	n, err := strconv.ParseUint(args[0], 0, 32)
	if err != nil || n == 0 || n > maxInstructions {
		return 0, usagef("%q is no count of instructions", args[0])
	}
	return int(n), nil
}

// crashedAt is where the crashed task was interrupted: the instruction that faulted. 0 when
// that is not to be known.
func crashedAt(env *environment, k *kernel.Kernel) uint64 {
	tasks, _, err := pickOrCrashed(env, k, nil)
	if err != nil || len(tasks) != 1 {
		return 0
	}
	u, err := k.Unwinder(env.ctx)
	if err != nil {
		return 0
	}
	s, err := u.Stack(env.ctx, tasks[0])
	if err != nil {
		return 0
	}
	for _, fr := range s.Frames {
		if fr.Kind == kernel.FrameInterrupted {
			return fr.Addr
		}
	}
	return 0
}

// disassembly is one run of dis.
type disassembly struct {
	env      *environment
	k        *kernel.Kernel
	f        *disFlags
	w        io.Writer
	decoder  *disasm.Decoder
	table    *symbols.Table
	asked    uint64 // the address that was asked for
	mark     bool   // the address asked for lies in the middle of what is shown
	fault    uint64
	tree     *sourceTree // nil: no source text
	unlined  bool        // that there are no lines was told
	textless bool        // that a source file is not there was told
}

func (f *disFlags) printer(env *environment, k *kernel.Kernel) (*disassembly, error) {
	syntax := disasm.ATT
	if f.intel {
		syntax = disasm.Intel
	}
	d, err := disasm.New(k.Machine(), k.Dump().Header.Order, syntax)
	if err != nil {
		return nil, err
	}
	table, err := k.AllSymbols(env.ctx)
	if err != nil {
		env.warn("symbols: %v", err)
		env.met(err)
	}
	if table == nil {
		table = symbols.New(nil)
	}
	tree, err := openSource(f.source)
	if err != nil {
		return nil, err
	}
	return &disassembly{env: env, k: k, f: f, w: env.out, decoder: d, table: table, tree: tree}, nil
}

// maxFunction bounds what is taken for one function: the last symbol before a gap is not
// one of gigabytes.
const maxFunction = 1 << 20

// function is the function around the address asked for.
func (p *disassembly) function() (from, to uint64, err error) {
	s, off, err := p.table.At(p.asked)
	switch {
	case err != nil:
		return 0, 0, fmt.Errorf("%x lies in no function; give a COUNT, without -r and -f", p.asked)
	case s.Size > maxFunction || off >= maxFunction:
		return 0, 0, fmt.Errorf("no function ends near %x; give a COUNT, without -r and -f", p.asked)
	}
	return s.Addr, s.Addr + max(s.Size, off+1), nil
}

// choose disassembles what the arguments ask for; the error is what ended it early.
func (p *disassembly) choose(arg string, count int) ([]disasm.Inst, error) {
	from, to, err := p.function()
	_, number, _ := parseAddress(arg)
	whole := count == 0 && p.asked == from && err == nil && !number && !strings.Contains(arg, "+")
	switch {
	case p.f.reverse && err == nil:
		p.mark = true
		list, err := p.read(from, p.asked+1, 0)
		return list[max(0, len(list)-cmp.Or(count, len(list))):], err
	case p.f.reverse:
		return nil, err
	case p.f.forward && err == nil, whole:
		return p.read(p.asked, to, count)
	case p.f.forward:
		return nil, err
	}
	return p.read(p.asked, 0, cmp.Or(count, 1))
}

// longestInst is how long an instruction of any machine can be.
const longestInst = 15

// read disassembles from an address on: what begins before to, where that is not 0, and
// count instructions, where that is not 0.
func (p *disassembly) read(from, to uint64, count int) ([]disasm.Inst, error) {
	size := to - from + longestInst
	if to == 0 {
		size = uint64(count) * longestInst
	}
	code := make([]byte, size)
	n, err := p.k.ReadVirt(code, from)
	var list []disasm.Inst
	for in := range p.decoder.All(code[:n], from) {
		if to != 0 && in.Addr >= to || count != 0 && len(list) == count {
			return list, nil
		}
		list = append(list, in)
	}
	if err == nil {
		err = errors.New("the code ends before the instruction does")
	}
	if to != 0 && from+uint64(n) >= to || count != 0 && len(list) == count {
		err = nil // what is lacking was not asked for
	}
	return list, err
}

// marked tells of the instructions that "=>" marks.
func (p *disassembly) marked(in disasm.Inst) bool {
	return p.holds(in, p.fault) || p.mark && p.holds(in, p.asked)
}

func (p *disassembly) holds(in disasm.Inst, a uint64) bool {
	return a >= in.Addr && a-in.Addr < uint64(len(in.Bytes))
}

// name is "sysrq_handle_crash+10", "" where no symbol is.
func (p *disassembly) name(a uint64) string {
	s, off, err := p.table.At(a)
	if err != nil {
		return ""
	}
	if p.f.hex {
		return printable(fmt.Sprintf("%s+%#x", s.Name, off))
	}
	return printable(fmt.Sprintf("%s+%d", s.Name, off))
}

// target is the name of where an instruction leads, without an offset at its begin.
func (p *disassembly) target(in disasm.Inst) string {
	if in.Target == 0 {
		return ""
	}
	return strings.TrimSuffix(strings.TrimSuffix(p.name(in.Target), "+0x0"), "+0")
}

func (p *disassembly) print(list []disasm.Inst, err error) error {
	if p.f.json {
		return p.printJSON(list, err)
	}
	places := make([]string, len(list))
	width, wide := 0, 0
	for i, in := range list {
		places[i] = fmt.Sprintf("0x%x", in.Addr)
		if name := p.name(in.Addr); name != "" {
			places[i] += " <" + name + ">"
		}
		width, wide = max(width, len(places[i])+1), max(wide, 3*len(in.Bytes))
	}
	var last string
	for i, in := range list {
		last = p.printLine(in, last)
		mark, code := "   ", ""
		if p.marked(in) {
			mark = "=> "
		}
		if p.f.bytes {
			code = fmt.Sprintf("%-*s ", wide, fmt.Sprintf("% x", in.Bytes))
		}
		fmt.Fprintf(p.w, "%s%-*s  %s%s\n", mark, width, places[i]+":", code, p.text(in))
	}
	return nil
}

// at is the source line of an instruction, the innermost inlined function's. Why there are
// none is told once.
func (p *disassembly) at(in disasm.Inst) (dwarf.Source, bool) {
	if !p.f.lines && p.f.source == "" {
		return dwarf.Source{}, false
	}
	list, err := p.k.Source(p.env.ctx, in.Addr)
	if len(list) > 0 && list[0].File != "" {
		return list[0], true
	}
	if err != nil && !p.unlined {
		p.env.met(err)
		p.env.warn("no source lines: %v", err)
		p.unlined = true
	}
	return dwarf.Source{}, false
}

// printLine prints the source line before the first of its instructions; last is the one
// that was printed before.
func (p *disassembly) printLine(in disasm.Inst, last string) string {
	s, ok := p.at(in)
	if !ok || s.String() == last {
		return last
	}
	fmt.Fprintf(p.w, "%s: %d\n", printable(s.File), s.Line)
	if text := p.sourceText(s); text != "" {
		fmt.Fprintf(p.w, "%-6d %s\n", s.Line, printableSource(text))
	}
	return s.String()
}

// sourceText is the text of a line, "" without --source. Why it is not there is told once.
func (p *disassembly) sourceText(s dwarf.Source) string {
	if p.tree == nil {
		return ""
	}
	lines, err := p.tree.around(s)
	if err != nil && !p.textless {
		p.env.warn("%v", err)
		p.textless = true
	}
	for _, l := range lines {
		if l.Line == s.Line {
			return l.Text
		}
	}
	return ""
}

// text is an instruction with the name of its target.
func (p *disassembly) text(in disasm.Inst) string {
	name := p.target(in)
	text := in.Text
	if in.Target != 0 && !strings.HasSuffix(text, fmt.Sprintf("%#x", in.Target)) {
		text += fmt.Sprintf("        # %#x", in.Target)
	}
	if name != "" {
		text += " <" + name + ">"
	}
	return text
}

type disDocument struct {
	Address hexAddress `json:"address"`
	Symbol  string     `json:"symbol,omitempty"`
	Module  string     `json:"module,omitempty"`
	Offset  uint64     `json:"offset"`
	Bytes   string     `json:"bytes"`
	Text    string     `json:"text"`
	File    string     `json:"file,omitempty"`
	Line    int        `json:"line,omitempty"`
	Source  string     `json:"source,omitempty"`
	Target  *disTarget `json:"target,omitempty"`
	Fault   bool       `json:"fault"`
}

type disTarget struct {
	Address hexAddress `json:"address"`
	Symbol  string     `json:"symbol,omitempty"`
	Module  string     `json:"module,omitempty"`
	Offset  uint64     `json:"offset"`
}

func (p *disassembly) printJSON(list []disasm.Inst, err error) error {
	docs := make([]disDocument, 0, len(list))
	for _, in := range list {
		d := disDocument{Address: hexAddress(in.Addr), Bytes: hex.EncodeToString(in.Bytes), Text: in.Text, Fault: p.holds(in, p.fault)}
		if s, off, err := p.table.At(in.Addr); err == nil {
			d.Symbol, d.Module, d.Offset = s.Name, s.Module, off
		}
		if s, ok := p.at(in); ok {
			d.File, d.Line = s.File, s.Line
			d.Source = p.sourceText(s)
		}
		if in.Target != 0 {
			d.Target = &disTarget{Address: hexAddress(in.Target)}
			if s, off, err := p.table.At(in.Target); err == nil {
				d.Target.Symbol, d.Target.Module, d.Target.Offset = s.Name, s.Module, off
			}
		}
		docs = append(docs, d)
	}
	return printJSON(p.w, struct {
		Schema       int              `json:"schema"`
		Instructions []disDocument    `json:"instructions"`
		Missing      []kernel.Missing `json:"missing"`
	}{schema, docs, missing("memory", err)})
}
