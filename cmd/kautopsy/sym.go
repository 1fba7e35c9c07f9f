package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

type symFlags struct {
	dump  *dumpFlags
	list  bool
	query string
	json  bool
}

func symCommand() command {
	return command{
		name: "sym", group: "Code", args: "DUMP [NAME|ADDRESS|NAME+OFFSET…]",
		short: "symbol of an address, address of a symbol",
		long: `Names come from kallsyms in the dump's own memory, modules included. Addresses
are hexadecimal, with or without 0x; a symbol named like a number ("add") goes
first, 0xadd is the number. -l lists all symbols, -q those whose name contains
PATTERN. With the kernel's vmlinux (-k) file and line stand behind those that
were asked for.`,
		example: "kautopsy sym /var/crash/vmcore sysrq_handle_crash",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &symFlags{dump: addCodeFlags(fs)}
			fs.BoolVarP(&f.list, "list", "l", false, "list all symbols")
			fs.StringVarP(&f.query, "query", "q", "", "list symbols whose name contains `PATTERN`")
			fs.BoolVar(&f.json, "json", false, "print JSON")
			return f.run
		},
	}
}

func (f *symFlags) run(env *environment, args []string) error {
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	if len(rest) == 0 && !f.list && f.query == "" {
		return usagef("which symbol? (-l lists all)")
	}
	table, err := k.AllSymbols(env.ctx)
	if table == nil {
		return fmt.Errorf("no symbols: %w", err)
	}
	if err != nil {
		env.warn("symbols: %v", err)
		env.met(err)
	}
	out := &symPrinter{w: env.out, json: f.json, missing: missing("symbols", err)}
	switch {
	case f.list:
		out.all(table.All())
	case f.query != "":
		out.all(table.Match(f.query))
		if out.n == 0 {
			out.failed(env, f.query, errors.New("no symbol has that in its name"))
		}
	}
	out.lines = newSourceLines(env, k)
	for _, arg := range rest {
		err := out.one(table, arg)
		if usage := (*usageError)(nil); errors.As(err, &usage) {
			return err
		}
		if err != nil {
			out.failed(env, arg, err)
		}
	}
	return errors.Join(out.end(), out.err)
}

// symPrinter prints symbols as crash does, or gathers them for JSON.
type symPrinter struct {
	w       io.Writer
	json    bool
	lines   *sourceLines // of symbols that are asked for by name, else nil
	n       int
	docs    []symDocument
	missing []kernel.Missing
	err     error // errNoAnswer when a question had none
}

type symDocument struct {
	Address hexAddress `json:"address"`
	Type    string     `json:"type"`
	Name    string     `json:"name"`
	Module  string     `json:"module,omitempty"`
	Size    uint64     `json:"size,omitempty"`
	Offset  uint64     `json:"offset"`
	File    string     `json:"file,omitempty"`
	Line    int        `json:"line,omitempty"`
}

// failed tells that a question had no answer.
func (p *symPrinter) failed(env *environment, question string, err error) {
	env.warn("%s: %v", question, err)
	p.missing = append(p.missing, missing(question, err)...)
	p.err = errNoAnswer
}

func (p *symPrinter) all(seq iter.Seq[symbols.Symbol]) {
	for s := range seq {
		p.print(s, 0)
	}
}

func (p *symPrinter) print(s symbols.Symbol, offset uint64) {
	p.n++
	var at dwarf.Source
	if p.lines != nil {
		at = p.lines.symbol(s, offset)
	}
	if p.json {
		p.docs = append(p.docs, symDocument{hexAddress(s.Addr), string(s.Type), s.Name, s.Module, s.Size, offset, at.File, at.Line})
		return
	}
	line := ""
	if at.File != "" {
		line = " " + crashLine(at)
	}
	fmt.Fprintf(p.w, "%x (%s) %s%s\n", s.Addr+offset, printable(string(s.Type)), symbolText(s, offset), line)
}

func (p *symPrinter) end() error {
	if !p.json {
		return nil
	}
	return printJSON(p.w, struct {
		Schema  int              `json:"schema"`
		Symbols []symDocument    `json:"symbols"`
		Missing []kernel.Missing `json:"missing"`
	}{schema, append([]symDocument{}, p.docs...), p.missing})
}

// one answers for a name, an address, or one of these with an offset.
func (p *symPrinter) one(table *symbols.Table, arg string) error {
	name, off, err := splitOffset(arg)
	if err != nil {
		return err
	}
	a, sure, number := parseAddress(name)
	before := p.n
	if !sure {
		for s := range table.Named(name) {
			p.print(s, off)
		}
	}
	switch {
	case p.n > before:
		return nil
	case !number:
		if near := nearNames(name, symbolNames(table)); len(near) > 0 {
			return meant(symbols.ErrNoSymbol, near)
		}
		return fmt.Errorf("%w (kautopsy sym -q PATTERN looks for a part of a name)", symbols.ErrNoSymbol)
	}
	s, off, err := table.At(a + off)
	if err != nil {
		return errors.New("no symbol at that address")
	}
	p.print(s, off)
	return nil
}

// symbolText is "name+0x12 [module]".
func symbolText(s symbols.Symbol, offset uint64) string {
	t := s.Name
	if offset != 0 {
		t += fmt.Sprintf("+%#x", offset)
	}
	if s.Module != "" {
		t += " [" + s.Module + "]"
	}
	return printable(t)
}

// parseAddress reads a hexadecimal number, with or without 0x. It is sure of one that no
// name can look like; "add", "dead" or "abcd1" are addresses only where no symbol has that
// name.
func parseAddress(s string) (a uint64, sure, ok bool) {
	hex, prefixed := strings.CutPrefix(strings.ToLower(s), "0x")
	a, err := strconv.ParseUint(hex, 16, 64)
	if err != nil {
		return 0, false, false
	}
	return a, prefixed || hex[0] <= '9' || len(hex) == 16, true
}

// splitOffset reads "name", "name+0x12", "name+18" or, as an oops prints it,
// "name+0x12/0x40".
func splitOffset(s string) (string, uint64, error) {
	name, off, ok := strings.Cut(s, "+")
	if !ok {
		return s, 0, nil
	}
	off, _, _ = strings.Cut(off, "/")
	n, err := strconv.ParseUint(off, 0, 64)
	if err != nil {
		return "", 0, usagef("%s: the offset is no number", s)
	}
	return name, n, nil
}

// resolve gives the address that an argument names: a symbol's before a number without 0x.
func resolve(env *environment, k *kernel.Kernel, arg string) (uint64, error) {
	name, off, err := splitOffset(arg)
	if err != nil {
		return 0, err
	}
	a, sure, number := parseAddress(name)
	if sure {
		return a + off, nil
	}
	s, err := symbolNamed(env, k, name)
	switch {
	case err == nil:
		return s.Addr + off, nil
	case number:
		return a + off, nil
	}
	err = fmt.Errorf("%s: %w", arg, err)
	if table, _ := k.AllSymbols(env.ctx); table != nil {
		err = meant(err, nearNames(name, symbolNames(table)))
	}
	return 0, err
}

// symbolNamed looks in the kernel first and then in its modules, which take longer to read.
func symbolNamed(env *environment, k *kernel.Kernel, name string) (symbols.Symbol, error) {
	s, err := k.Symbol(name)
	if !errors.Is(err, symbols.ErrNoSymbol) {
		return s, err
	}
	all, lack := k.AllSymbols(env.ctx)
	if all == nil {
		return s, lack
	}
	if s, err = all.Lookup(name); err == nil {
		return s, nil
	}
	if lack != nil {
		return s, fmt.Errorf("%w; %w", symbols.ErrNoSymbol, lack)
	}
	return s, fmt.Errorf("%w, and no address in hexadecimal", symbols.ErrNoSymbol)
}
