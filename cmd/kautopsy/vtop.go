package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

func vtopCommand() command {
	return command{
		name: "vtop", group: "The kernel inside", args: "DUMP ADDRESS|SYMBOL…",
		short:   "physical address of a kernel address, with its page tables",
		long:    "Where the page tables are not in the dump, the image's and the direct map's own\nrules still answer, and the reason is shown.",
		example: "kautopsy vtop /var/crash/vmcore init_task",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			df := addDumpFlags(fs)
			asJSON := fs.Bool("json", false, "JSON")
			return func(env *environment, args []string) error {
				k, rest, done, err := df.openKernel(env, args)
				if err != nil {
					return err
				}
				defer done()
				if len(rest) == 0 {
					return usagef("which address?")
				}
				return runVtop(env, k, rest, *asJSON)
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
}

type vtopStep struct {
	Level string     `json:"level"`
	Entry hexAddress `json:"entry"`
	Value hexAddress `json:"value"`
}

func runVtop(env *environment, k *kernel.Kernel, args []string, asJSON bool) error {
	docs := make([]translation, 0, len(args))
	var failed error
	for i, arg := range args {
		va, err := resolve(env, k, arg)
		if err != nil {
			return err
		}
		t, err := translate(k, va)
		if err != nil {
			failed = err
			env.met(err)
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
		if err := printJSON(env.out, map[string]any{"schema": schema, "translations": docs, "missing": []string{}}); err != nil {
			return err
		}
	}
	return failed
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
	for _, s := range w.Steps {
		t.Steps = append(t.Steps, vtopStep{s.Level, hexAddress(s.Entry), hexAddress(s.Value)})
	}
	if err != nil {
		t.Why = err.Error()
		if errors.Is(err, phys.ErrUnmapped) {
			t.Physical, t.How = nil, ""
		}
		if t.Physical != nil {
			err = nil
		}
		return t, err
	}
	if t.Physical != nil && phys.Addr(*t.Physical) != w.Addr {
		t.Why = fmt.Sprintf("the page tables say %#x, the rule of the %s %#x", uint64(w.Addr), t.How, uint64(*t.Physical))
		t.Physical = nil
	}
	set(w.Addr, "page tables")
	t.PageSize, t.Flags = w.PageSize, w.Flags
	return t, nil
}

// print writes crash's form.
func (t *translation) print(w io.Writer) {
	physical := "(not mapped)"
	if t.Physical != nil {
		physical = fmt.Sprintf("%x", uint64(*t.Physical))
	}
	fmt.Fprintf(w, "%-16s  %s\n%-16x  %s\n", "VIRTUAL", "PHYSICAL", uint64(t.Virtual), physical)
	if len(t.Steps) > 0 {
		fmt.Fprintln(w)
	}
	for _, s := range t.Steps {
		fmt.Fprintf(w, "%6s: %x => %x\n", s.Level, uint64(s.Entry), uint64(s.Value))
	}
	if t.PageSize > 0 && t.Physical != nil {
		size := strings.ReplaceAll(strings.TrimSuffix(bytesOf(t.PageSize), "iB")+"B", " ", "")
		fmt.Fprintf(w, "%6s: %x  (%s)", "PAGE", uint64(*t.Physical)&^(t.PageSize-1), size)
		if len(t.Flags) > 0 {
			fmt.Fprintf(w, "  (%s)", strings.Join(t.Flags, "|"))
		}
		fmt.Fprintln(w)
	}
	if t.Why != "" {
		fmt.Fprintf(w, "%s\n", printable(t.Why))
	}
}
