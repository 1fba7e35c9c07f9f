package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

type lineFlags struct {
	dump   *dumpFlags
	source string
	json   bool
}

func lineCommand() command {
	return command{
		name: "line", group: "Code", args: "DUMP ADDRESS|SYMBOL[+OFFSET]…",
		short: "source line of an address, and the functions inlined there",
		long: `What gdb's "list *bio_endio+0x12a" says, for an address of the dump. It needs
the kernel's vmlinux with its debug information (-k). Of a function that the
compiler inlined the line comes first, then that at which each function called
it. A return address is the one behind the call: look at one less.`,
		example: "kautopsy line -k vmlinux /var/crash/vmcore bio_endio+0x12a",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &lineFlags{dump: addCodeFlags(fs)}
			fs.StringVar(&f.source, "source", "", "show the lines around, from the kernel's source in `DIR`")
			fs.BoolVar(&f.json, "json", false, "print JSON")
			return f.run
		},
	}
}

// lineDocument is the answer for one address.
type lineDocument struct {
	Address hexAddress  `json:"address"`
	Symbol  string      `json:"symbol"`
	Offset  uint64      `json:"offset"`
	Module  string      `json:"module,omitempty"`
	Places  []linePlace `json:"places"` // the innermost inlined function first
}

// linePlace is a line, and those around it with --source.
type linePlace struct {
	Function string       `json:"function"`
	File     string       `json:"file"`
	Line     int          `json:"line"`
	Column   int          `json:"column,omitempty"`
	Inlined  bool         `json:"inlined,omitempty"`
	Source   []sourceText `json:"source,omitempty"`
}

func (f *lineFlags) run(env *environment, args []string) error {
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	if len(rest) == 0 {
		return usagef("of which address?")
	}
	tree, err := openSource(f.source)
	if err != nil {
		return err
	}
	defer tree.close()
	var docs []lineDocument
	lack := []kernel.Missing{}
	var failed error
	for _, arg := range rest {
		doc, err := f.answer(env, k, tree, arg)
		if usage := (*usageError)(nil); errors.As(err, &usage) {
			return err
		}
		if err != nil {
			env.warn("%s", printable(err.Error()))
			env.met(err)
			lack, failed = append(lack, kernel.NewMissing(arg, err, "")), errNoAnswer
			continue
		}
		docs = append(docs, doc)
	}
	if f.json {
		return errors.Join(printJSON(env.out, struct {
			Schema  int              `json:"schema"`
			Lines   []lineDocument   `json:"lines"`
			Missing []kernel.Missing `json:"missing"`
		}{schema, append([]lineDocument{}, docs...), lack}), failed)
	}
	for _, d := range docs {
		d.print(env.out)
	}
	return failed
}

// answer finds the lines of one argument.
func (f *lineFlags) answer(env *environment, k *kernel.Kernel, tree *sourceTree, arg string) (d lineDocument, err error) {
	at, err := resolve(env, k, arg)
	if err != nil {
		return d, err
	}
	all, err := k.AllSymbols(env.ctx)
	if all == nil {
		return d, err
	}
	s, off, err := all.At(at)
	if err != nil {
		return d, fmt.Errorf("%s: no symbol at that address", arg)
	}
	d = lineDocument{hexAddress(at), s.Name, off, s.Module, []linePlace{}}
	chain, err := k.Source(env.ctx, at)
	if err != nil {
		return d, fmt.Errorf("%s: %w", arg, lineFault(env, k, s, err))
	}
	for _, c := range chain {
		p := linePlace{c.Function, c.File, c.Line, c.Column, c.Inlined, nil}
		if tree != nil {
			if p.Source, err = tree.around(c); err != nil {
				env.warn("%s", printable(err.Error()))
			}
		}
		d.Places = append(d.Places, p)
	}
	return d, nil
}

// lineFault tells code that the debug information is not about from debug information that is
// not there.
func lineFault(env *environment, k *kernel.Kernel, s symbols.Symbol, err error) error {
	_, missing := k.DebugFile(env.ctx, s.Module)
	if missing == nil && errors.Is(err, dwarf.ErrNoDebug) {
		return fmt.Errorf("the debug information says nothing of %s", s.Name)
	}
	return err
}

// print writes the answer as gdb's "list *ADDRESS" does.
func (d *lineDocument) print(w io.Writer) {
	for i, p := range d.Places {
		head := "    inlined into"
		if i == 0 {
			head = fmt.Sprintf("0x%x is in", uint64(d.Address))
		}
		name := p.Function
		if !p.Inlined {
			name = symbolText(symbols.Symbol{Name: d.Symbol, Module: d.Module}, d.Offset)
		}
		end := "."
		if p.Inlined {
			end = ""
		}
		fmt.Fprintf(w, "%s %s (%s:%d)%s\n", head, printable(name), printable(p.File), p.Line, end)
		for _, t := range p.Source {
			mark := "  "
			if t.Line == p.Line {
				mark = "=>"
			}
			fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%s %5d  %s", mark, t.Line, printableSource(t.Text)), " "))
		}
	}
}
