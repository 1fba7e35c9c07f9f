package main

import (
	"fmt"
	"iter"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

type listFlags struct {
	dump     *dumpFlags
	offset   string
	element  bool // -h
	head     bool // -H
	reverse  bool
	end      string
	selected string
	radix    radixFlags
	json     bool
}

func listCommand() command {
	return command{
		name: "list", group: "Memory and types", args: "DUMP [OFFSET] START",
		short: "walk a list",
		long: `Prints the address of each structure on a list. OFFSET, also by -o, is where
the link is in it: a number or STRUCT.MEMBER, 0 without. START is the address of
a structure whose link is the address of the next one; with -h its link is a
list_head, and all on the list are printed, itself too; with -H START is the
head alone, a list_head, hlist_head or llist_head.`,
		example: "kautopsy list vmcore -s task_struct.pid task_struct.tasks -h init_task",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &listFlags{dump: addDumpFlags(fs)}
			fs.StringVarP(&f.offset, "offset", "o", "", "the link is at `OFFSET`")
			fs.BoolVarP(&f.element, "element", "h", false, "START is a structure with a list_head in it")
			fs.BoolVarP(&f.head, "head", "H", false, "START is the head of a list")
			fs.BoolVarP(&f.reverse, "reverse", "r", false, "go backwards (list_head)")
			fs.StringVarP(&f.end, "end", "e", "", "end before `ADDRESS`")
			fs.StringVarP(&f.selected, "struct", "s", "", "print each as `STRUCT[.MEMBER,…]`")
			addRadixFlags(fs, &f.radix)
			fs.BoolVar(&f.json, "json", false, "print JSON")
			fs.Bool("help", false, "show this help")
			return f.run
		},
	}
}

func (f *listFlags) run(env *environment, args []string) error {
	if len(args) == 0 && f.element { // -h as other commands have it
		return printHelp(env, find("list"))
	}
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	if f.element && f.head {
		return usagef("either -h or -H")
	}
	if len(rest) == 2 && f.offset == "" {
		f.offset, rest = rest[0], rest[1:]
	}
	if len(rest) != 1 {
		return usagef("where does the list start?")
	}
	w, err := f.walk(env, k, rest[0])
	if err != nil {
		return err
	}
	p, err := newElements(env, k, f.selected, f.radix, f.json)
	if err != nil {
		return err
	}
	return p.all(w)
}

// walk yields the addresses of the structures.
func (f *listFlags) walk(env *environment, k *kernel.Kernel, start string) (iter.Seq2[element, error], error) {
	at, err := startOf(env, k, start)
	if err != nil {
		return nil, err
	}
	off := uint64(0)
	if f.offset != "" {
		if off, err = memberOffset(env, k, f.offset); err != nil {
			return nil, err
		}
	}
	stop := uint64(0)
	if f.end != "" {
		if stop, err = startOf(env, k, f.end); err != nil {
			return nil, err
		}
	}
	l := kernel.Link{First: at, Next: off, Back: 0, End: stop}
	if f.element || f.head {
		l = kernel.Link{First: at + off, Back: off, End: stop + off}
		if f.head {
			l.First, l.Head = at, true
		}
		if f.reverse {
			l.Next = uint64(k.PtrSize())
		}
	} else if f.reverse {
		return nil, usagef("-r goes with -h or -H")
	}
	return func(yield func(element, error) bool) {
		for a, err := range k.Links(env.ctx, l) {
			if !yield(element{addr: a}, err) {
				return
			}
		}
	}, nil
}

// startOf is an address, a symbol, or the variable of a CPU.
func startOf(env *environment, k *kernel.Kernel, arg string) (uint64, error) {
	name, spec, perCPU := strings.Cut(arg, ":")
	if perCPU {
		cpus, err := k.PerCPUAddresses(env.ctx, name, spec)
		if err != nil || len(cpus) != 1 {
			return 0, usagef("%s: one CPU, %s:0 (%v)", arg, name, err)
		}
		return cpus[0].Addr, nil
	}
	return resolve(env, k, arg)
}

// element is something on a list or in a tree; what a tree knows of it has a key.
type element struct {
	addr        uint64
	keyed       bool
	first, last uint64
	number      bool // no address
}

// elements prints what a walk finds.
type elements struct {
	env   *environment
	k     *kernel.Kernel
	q     *aggregate
	style kernel.ValueStyle
	keys  bool // printed
	json  bool
	docs  []elementDocument
	lack  []kernel.Missing
	n     int
}

type elementDocument struct {
	Address hexAddress    `json:"address,omitempty"`
	First   *uint64       `json:"first,omitempty"`
	Last    *uint64       `json:"last,omitempty"`
	Number  *uint64       `json:"number,omitempty"`
	Type    string        `json:"type,omitempty"`
	Members []valueMember `json:"members,omitempty"`
}

// newElements takes "task_struct.pid,comm", or nothing.
func newElements(env *environment, k *kernel.Kernel, selected string, radix radixFlags, json bool) (*elements, error) {
	p := &elements{env: env, k: k, json: json, lack: []kernel.Missing{}, docs: []elementDocument{}}
	if selected != "" {
		q, err := (&structFlags{keyword: symbols.KindStruct}).question(env, k, selected)
		if err != nil {
			return nil, err
		}
		p.q, p.style = &q, valueStyle(env, k, radix)
	}
	return p, nil
}

// all prints every element. A walk that ends early says why, and the answer is partial; one
// that finds nothing has none.
func (p *elements) all(walk iter.Seq2[element, error]) error {
	for e, err := range walk {
		if err == nil {
			err = p.one(e)
		}
		if err != nil {
			p.lack = append(p.lack, missing("list", err)...)
			p.env.warn("%v", err)
			p.env.partial = true
		}
	}
	if err := p.env.ctx.Err(); err != nil {
		return err
	}
	if p.json {
		return printJSON(p.env.out, struct {
			Schema   int               `json:"schema"`
			Elements []elementDocument `json:"elements"`
			Missing  []kernel.Missing  `json:"missing"`
		}{schema, p.docs, p.lack})
	}
	if p.n == 0 && len(p.lack) == 0 {
		fmt.Fprintln(p.env.out, "(empty)")
	}
	if p.n == 0 && len(p.lack) > 0 {
		return errNoAnswer
	}
	return nil
}

// one prints one element.
func (p *elements) one(e element) error {
	p.n++
	doc := elementDocument{Address: hexAddress(e.addr)}
	if e.keyed {
		doc.First, doc.Last = &e.first, &e.last
	}
	if e.number {
		doc.Address, doc.Number = 0, &e.addr
	}
	if !p.json {
		fmt.Fprintln(p.env.out, p.head(e))
	}
	if p.q != nil && !e.number {
		o := p.k.Object(p.q.t, e.addr)
		vals, err := p.q.values(o)
		if err != nil {
			return err
		}
		for _, v := range vals {
			p.lack = append(p.lack, valueMissing(p.env, fmt.Sprintf("%x", e.addr), v)...)
		}
		if !p.json {
			p.q.text(p.env, o, vals, p.style, false)
		}
		d := p.q.document(o, vals, -1)
		doc.Type, doc.Members = d.Type, d.Members
	}
	if p.json {
		p.docs = append(p.docs, doc)
	}
	return nil
}

// head is the line of an element: its address, and its key where that is asked for.
func (p *elements) head(e element) string {
	text := fmt.Sprintf("%x", e.addr)
	if e.number {
		text = fmt.Sprintf("%d (a number)", e.addr)
	}
	switch {
	case !p.keys || !e.keyed:
		return text
	case e.first == e.last:
		return fmt.Sprintf("%s\n  index: %d", text, e.first)
	}
	return fmt.Sprintf("%s\n  index: %d-%d", text, e.first, e.last)
}
