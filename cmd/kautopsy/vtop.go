package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/mm"
	"github.com/kautopsy/kautopsy/phys"
)

func vtopCommand() command {
	return command{
		name: "vtop", group: "Memory and types", args: "DUMP ADDRESS|SYMBOL…",
		short: "physical address of a virtual one, with its page tables",
		long: `Where the page tables are not in the dump, the image's and the direct map's own
rules still answer, and the reason is shown. An address of user space is looked
up in the page tables of the task that crashed, or of that which -c names.`,
		example: "kautopsy vtop /var/crash/vmcore init_task",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			df := addDumpFlags(fs)
			uf := addUserFlags(fs)
			asJSON := fs.Bool("json", false, "print JSON")
			return func(env *environment, args []string) error {
				k, rest, done, err := df.openKernel(env, args)
				if err != nil {
					return err
				}
				defer done()
				if len(rest) == 0 {
					return usagef("which address?")
				}
				return runVtop(env, k, uf, rest, *asJSON)
			}
		},
	}
}

// translation is the answer for one address.
type translation struct {
	Virtual  hexAddress  `json:"virtual"`
	Physical *hexAddress `json:"physical"`
	How      string      `json:"how,omitempty"`
	PageSize uint64      `json:"page_size,omitempty"`
	Flags    []string    `json:"flags,omitempty"`
	Steps    []vtopStep  `json:"steps,omitempty"`
	Why      string      `json:"why,omitempty"`
	PID      *int        `json:"pid,omitempty"` // of the process whose address it is

	VMA *vmaJSON `json:"vma,omitempty"`

	unmapped bool // the page tables say so
	mapping  *mm.VMA
}

type vtopStep struct {
	Level string     `json:"level"`
	Entry hexAddress `json:"entry"`
	Value hexAddress `json:"value"`
}

type vtopDocument struct {
	Schema       int              `json:"schema"`
	Translations []translation    `json:"translations"`
	Missing      []kernel.Missing `json:"missing"`
}

func runVtop(env *environment, k *kernel.Kernel, uf *userFlags, args []string, asJSON bool) error {
	docs := make([]translation, 0, len(args))
	lack := []kernel.Missing{}
	for i, arg := range args {
		va, err := resolve(env, k, arg)
		if err != nil {
			return err
		}
		p, err := uf.process(env, k, va)
		if err != nil {
			return err
		}
		t, err := translation{}, error(nil)
		if p != nil {
			t, err = p.translate(env, va)
		} else {
			t, err = translate(k, va)
		}
		if err != nil {
			env.met(err)
			env.warn("%v", err)
			lack = append(lack, missing(arg, err)...)
		}
		docs = append(docs, t)
		if !asJSON {
			if i > 0 {
				fmt.Fprintln(env.out)
			}
			t.print(env.out)
		}
	}
	if asJSON {
		if err := printJSON(env.out, vtopDocument{schema, docs, lack}); err != nil {
			return err
		}
	}
	if len(lack) > 0 {
		return errNoAnswer
	}
	return nil
}

// translate asks the linear rules and the page tables; they must agree.
func translate(k *kernel.Kernel, va uint64) (translation, error) {
	t := translation{Virtual: hexAddress(va)}
	space, err := k.Space()
	if err != nil {
		t.Why = err.Error()
		return t, err
	}
	set := func(a phys.Addr, how string) {
		if t.Physical == nil {
			p := hexAddress(a)
			t.Physical, t.How = &p, how
		}
	}
	if a, ok := space.Image(va); ok {
		set(a, "kernel image")
	} else if a, ok := space.Direct(va); ok {
		set(a, "direct map")
	}
	w, err := space.Walk(va)
	t.went(w)
	rule := t.Physical
	switch {
	case errors.Is(err, phys.ErrUnmapped):
		t.Physical, t.How, t.unmapped = nil, "", true
	case err == nil && rule != nil && phys.Addr(*rule) != w.Addr:
		err = fmt.Errorf("%#x: the page tables say %#x, the rule of the %s %#x: %w", va, uint64(w.Addr), t.How, uint64(*rule), phys.ErrCorrupt)
		t.Physical, t.How = nil, ""
	case err == nil:
		set(w.Addr, "page tables")
		t.PageSize, t.Flags = w.PageSize, w.Flags
		return t, nil
	}
	t.Why = err.Error()
	if t.Physical != nil { // the rule answers, and Why tells what the tables lack
		return t, nil
	}
	return t, err
}

// went notes the way through the page tables.
func (t *translation) went(w kernel.Walk) {
	for _, s := range w.Steps {
		t.Steps = append(t.Steps, vtopStep{s.Level, hexAddress(s.Entry), hexAddress(s.Value)})
	}
}

// print writes crash's form: the addresses, the way through the tables, the entry with its
// flags.
func (t *translation) print(w io.Writer) {
	physical := "(unknown)"
	switch {
	case t.Physical != nil:
		physical = fmt.Sprintf("%x", uint64(*t.Physical))
	case t.unmapped:
		physical = "(not mapped)"
	}
	fmt.Fprintf(w, "%-16s  %s\n%-16x  %s\n", "VIRTUAL", "PHYSICAL", uint64(t.Virtual), physical)
	if len(t.Steps) > 0 {
		fmt.Fprintln(w)
	}
	for _, s := range t.Steps {
		fmt.Fprintf(w, "%6s: %x => %x\n", s.Level, uint64(s.Entry), uint64(s.Value))
	}
	if t.PageSize > 0 && t.Physical != nil {
		t.printPage(w)
	}
	if t.Why != "" && t.Physical != nil {
		fmt.Fprintf(w, "\n%s\n", printable(t.Why))
	}
	if t.mapping != nil {
		fmt.Fprintf(w, "\n%s\n%s\n", vmaHead, vmaRow(*t.mapping))
	}
}

func (t *translation) printPage(w io.Writer) {
	page := uint64(*t.Physical) &^ (t.PageSize - 1)
	size := strings.ReplaceAll(strings.TrimSuffix(bytesOf(t.PageSize), "iB")+"B", " ", "")
	fmt.Fprintf(w, "%6s: %x  (%s)\n", "PAGE", page, size)
	if len(t.Flags) > 0 && len(t.Steps) > 0 {
		value := fmt.Sprintf("%x", uint64(t.Steps[len(t.Steps)-1].Value))
		physical := fmt.Sprintf("%x", page)
		fmt.Fprintf(w, "\n%s  %s  FLAGS\n%s  %s  (%s)\n", centre("PTE", len(value)), centre("PHYSICAL", len(physical)),
			centre(value, len("PTE")), centre(physical, len("PHYSICAL")), strings.Join(t.Flags, "|"))
	}
}

// centre puts a heading over its column.
func centre(s string, width int) string {
	left := max(0, width-len(s)) / 2
	return fmt.Sprintf("%*s%-*s", left, "", max(width, len(s))-left, s)
}
