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
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

type symFlags struct {
	dump  *dumpFlags
	list  bool
	query string
	json  bool
}

func symCommand() command {
	return command{
		name: "sym", group: "The kernel inside", args: "DUMP [NAME|ADDRESS|NAME+OFFSET…]",
		short: "symbol of an address, address of a symbol",
		long: `Names come from kallsyms in the dump's own memory, modules included. Addresses are
hexadecimal, with or without 0x. -l lists all symbols, -q those whose name
contains PATTERN.`,
		example: "kautopsy sym /var/crash/vmcore sysrq_handle_crash",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &symFlags{dump: addDumpFlags(fs)}
			fs.BoolVarP(&f.list, "list", "l", false, "list all symbols")
			fs.StringVarP(&f.query, "query", "q", "", "list symbols whose name contains `PATTERN`")
			fs.BoolVar(&f.json, "json", false, "JSON")
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
	out := &symPrinter{w: env.out, json: f.json}
	switch {
	case f.list:
		out.all(table.All())
	case f.query != "":
		out.all(table.Match(f.query))
	}
	var failed error
	for _, arg := range rest {
		if err := out.one(k, table, arg); err != nil {
			env.warn("%v", err)
			failed = errNoAnswer
		}
	}
	if err := out.end(); err != nil {
		return err
	}
	if f.query != "" && out.n == 0 {
		return fmt.Errorf("no symbol has %q in its name", f.query)
	}
	return failed
}

// errNoAnswer: some of the questions had no answer, each said so already.
var errNoAnswer = errors.New("not every question had an answer")

// symPrinter prints symbols as crash does, or gathers them for JSON.
type symPrinter struct {
	w    io.Writer
	json bool
	n    int
	docs []symDocument
}

type symDocument struct {
	Address hexAddress `json:"address"`
	Type    string     `json:"type"`
	Name    string     `json:"name"`
	Module  string     `json:"module,omitempty"`
	Size    uint64     `json:"size,omitempty"`
	Offset  uint64     `json:"offset"`
}

func (p *symPrinter) all(seq iter.Seq[symbols.Symbol]) {
	for s := range seq {
		p.print(s, 0)
	}
}

func (p *symPrinter) print(s symbols.Symbol, offset uint64) {
	p.n++
	if p.json {
		p.docs = append(p.docs, symDocument{hexAddress(s.Addr), string(s.Type), s.Name, s.Module, s.Size, offset})
		return
	}
	fmt.Fprintf(p.w, "%x (%c) %s\n", s.Addr+offset, s.Type, symbolText(s, offset))
}

func (p *symPrinter) end() error {
	if !p.json {
		return nil
	}
	return printJSON(p.w, map[string]any{"schema": schema, "symbols": append([]symDocument{}, p.docs...), "missing": []string{}})
}

// one answers for a name, an address or a name with an offset.
func (p *symPrinter) one(k *kernel.Kernel, table *symbols.Table, arg string) error {
	if a, ok := parseAddress(arg); ok {
		s, off, err := table.At(a)
		if err != nil {
			return fmt.Errorf("%x: %w", a, err)
		}
		p.print(s, off)
		return nil
	}
	name, off, err := splitOffset(arg)
	if err != nil {
		return err
	}
	found := 0
	for s := range table.Named(name) {
		p.print(s, off)
		found++
	}
	if found == 0 {
		return fmt.Errorf("%s: %w (kautopsy sym -q lists names that contain a word)", arg, symbols.ErrNoSymbol)
	}
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
	return t
}

// parseAddress reads a hexadecimal number, with or without 0x. A bare word such as "add"
// or "dead" is a name first: only numbers that hold a digit, or stand behind 0x, count.
func parseAddress(s string) (uint64, bool) {
	hex, prefixed := strings.CutPrefix(strings.ToLower(s), "0x")
	if !prefixed && !strings.ContainsAny(hex, "0123456789") {
		return 0, false
	}
	a, err := strconv.ParseUint(hex, 16, 64)
	return a, err == nil
}

// splitOffset reads "name", "name+0x12" or "name+18".
func splitOffset(s string) (string, uint64, error) {
	name, off, ok := strings.Cut(s, "+")
	if !ok {
		return s, 0, nil
	}
	off, _, _ = strings.Cut(off, "/") // as an oops prints it: name+0x12/0x40
	n, err := strconv.ParseUint(off, 0, 64)
	if err != nil {
		return "", 0, usagef("%s: the offset is no number", s)
	}
	return name, n, nil
}

// resolve gives the address that an argument names.
func resolve(env *environment, k *kernel.Kernel, arg string) (uint64, error) {
	if a, ok := parseAddress(arg); ok {
		return a, nil
	}
	name, off, err := splitOffset(arg)
	if err != nil {
		return 0, err
	}
	s, err := k.Symbol(name)
	if errors.Is(err, symbols.ErrNoSymbol) {
		if all, _ := k.AllSymbols(env.ctx); all != nil {
			s, err = all.Lookup(name)
		}
	}
	if err != nil {
		if phys.Reason(err) == nil {
			return 0, usagef("%q is neither an address in hexadecimal nor a symbol", arg)
		}
		return 0, err
	}
	return s.Addr + off, nil
}
