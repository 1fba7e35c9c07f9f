package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

type structFlags struct {
	dump    *dumpFlags
	keyword symbols.Kind // struct or union
	offsets bool
	count   int
	embed   string
	radix   radixFlags
	json    bool
}

func structCommand() command { return aggregateCommand(symbols.KindStruct, "task_struct.pid,comm") }

func unionCommand() command { return aggregateCommand(symbols.KindUnion, "rcu_special") }

func aggregateCommand(kind symbols.Kind, example string) command {
	return command{
		name: kind.String(), group: "Memory and types", args: "DUMP NAME[.MEMBER,…] [ADDRESS|SYMBOL[:CPU]]",
		short: fmt.Sprintf("declaration of a %v, or one in memory", kind),
		long: `Without an address it prints the declaration, with one what is there. Types
come from BTF in the dump's own memory, those of modules too, or from a vmlinux
(--vmlinux). MEMBER is a path, se.vruntime or comm; several are separated by
commas. A per-CPU symbol takes the CPUs behind a colon: runqueues:0, :0-2,5 or
:a for all.`,
		example: "kautopsy " + kind.String() + " /var/crash/vmcore " + example,
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &structFlags{dump: addDumpFlags(fs), keyword: kind}
			fs.BoolVarP(&f.offsets, "offsets", "o", false, "offsets of the members; with an address, the address of each")
			fs.IntVarP(&f.count, "count", "c", 1, "print `COUNT` of them that stand one behind the other")
			fs.StringVarP(&f.embed, "embedded", "l", "", "the address is that of the member at `OFFSET`: a number or STRUCT.MEMBER")
			addRadixFlags(fs, &f.radix)
			fs.BoolVar(&f.json, "json", false, "print JSON")
			return f.run
		},
	}
}

func addRadixFlags(fs *pflag.FlagSet, r *radixFlags) {
	fs.BoolVarP(&r.hex, "hex", "x", false, "integers in hexadecimal")
	fs.BoolVarP(&r.decimal, "decimal", "d", false, "integers in decimal, which is the default")
}

func (f *structFlags) run(env *environment, args []string) error {
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	if len(rest) == 0 {
		return usagef("which %v?", f.keyword)
	}
	if len(rest) > 1 && (rest[0] == "struct" || rest[0] == "union") {
		rest = rest[1:]
	}
	if err := f.positional(&rest); err != nil {
		return err
	}
	q, err := f.question(env, k, rest[0])
	if err != nil {
		return err
	}
	if len(rest) == 1 {
		return q.declare(env, f)
	}
	at, err := f.places(env, k, rest[1])
	if err != nil {
		return err
	}
	return ofPID(env, k, q.t, rest[1], q.print(env, f, at))
}

// ofPID is the error of a task_struct that is not there, with the address of the one that was
// probably meant: a number that is no address of a kernel's is some task's PID.
func ofPID(env *environment, k *kernel.Kernel, t *symbols.Type, arg string, err error) error {
	pid, perr := strconv.Atoi(arg)
	if err == nil || perr != nil || t.Underlying().String() != "struct task_struct" {
		return err
	}
	all, _, terr := allTasks(env, k)
	if terr != nil {
		return err
	}
	task, terr := taskOfPID(all, pid)
	if terr != nil {
		return err
	}
	return fmt.Errorf("%w (PID %d has the one at %x)", err, pid, task.Addr)
}

// positional takes crash's count behind the address.
func (f *structFlags) positional(rest *[]string) error {
	if len(*rest) > 2 {
		n, err := strconv.ParseUint((*rest)[2], 0, 20)
		if err != nil || len(*rest) > 3 {
			return usagef("%q is no count", strings.Join((*rest)[2:], " "))
		}
		f.count, *rest = int(n), (*rest)[:2]
	}
	if f.count < 1 || f.count > maxCount {
		return usagef("-c %d: 1 to %d", f.count, maxCount)
	}
	return nil
}

// maxCount bounds how many structs one command prints.
const maxCount = 1 << 20

// aggregate is a type and the members of it that are asked for.
type aggregate struct {
	k       *kernel.Kernel
	t       *symbols.Type
	members []string
}

// question reads "task_struct.pid,comm".
func (f *structFlags) question(env *environment, k *kernel.Kernel, arg string) (aggregate, error) {
	name, list, some := strings.Cut(arg, ".")
	q := aggregate{k: k}
	if some {
		q.members = strings.Split(list, ",")
	}
	var err error
	q.t, err = k.FindType(env.ctx, f.keyword.String()+" "+name)
	if errors.Is(err, symbols.ErrNoType) {
		if t, terr := k.FindType(env.ctx, name); terr == nil {
			q.t, err = t, nil
		}
	}
	if err != nil {
		return q, suggest(env, k, err, name, nil)
	}
	for i, path := range q.members {
		q.members[i] = strings.TrimPrefix(path, name+".")
		if _, err := q.t.Underlying().Member(q.members[i]); err != nil {
			return q, suggest(env, k, err, q.members[i], q.t)
		}
	}
	return q, nil
}

// place is where an object is.
type place struct {
	addr uint64
	cpu  int // -1: no per-CPU one
}

// places are the addresses that an argument names, less the offset of -l.
func (f *structFlags) places(env *environment, k *kernel.Kernel, arg string) (list []place, err error) {
	back, err := f.back(env, k)
	if err != nil {
		return nil, err
	}
	name, spec, perCPU := strings.Cut(arg, ":")
	if !perCPU {
		at, err := resolve(env, k, name)
		if err != nil {
			return nil, suggest(env, k, err, name, nil)
		}
		if cpus, perr := k.PerCPUAddresses(env.ctx, name, "a"); perr == nil && len(cpus) > 0 {
			return nil, usagef("each CPU has its %s: %s:0 or %s:a", name, name, name)
		}
		return []place{{at - back, -1}}, nil
	}
	cpus, err := k.PerCPUAddresses(env.ctx, name, spec)
	if err != nil {
		return nil, suggest(env, k, err, name, nil)
	}
	for _, c := range cpus {
		list = append(list, place{c.Addr - back, c.CPU})
	}
	return list, nil
}

// back is the offset of -l: a number, or that of a member.
func (f *structFlags) back(env *environment, k *kernel.Kernel) (uint64, error) {
	if f.embed == "" {
		return 0, nil
	}
	return memberOffset(env, k, f.embed)
}

// memberOffset reads an offset in bytes: a number or STRUCT.MEMBER.
func memberOffset(env *environment, k *kernel.Kernel, arg string) (uint64, error) {
	if n, err := strconv.ParseUint(arg, 0, 32); err == nil {
		return n, nil
	}
	name, path, ok := strings.Cut(arg, ".")
	if !ok {
		return 0, usagef("%q is no offset: a number or STRUCT.MEMBER", arg)
	}
	t, err := k.FindType(env.ctx, name)
	if err != nil {
		return 0, suggest(env, k, err, name, nil)
	}
	m, err := t.Underlying().Member(path)
	if err != nil {
		return 0, suggest(env, k, err, path, t)
	}
	return m.Offset / 8, nil
}

// declare prints the type, or the members of it that are asked for.
func (q aggregate) declare(env *environment, f *structFlags) error {
	if f.json {
		return printJSON(env.out, q.declaration())
	}
	q.lines(env, f.offsets, 0)
	if len(q.members) == 0 {
		fmt.Fprintf(env.out, "SIZE: %s\n", f.radix.number(q.t.Size()))
	}
	return nil
}

// number prints a number as the flags ask.
func (r radixFlags) number(n uint64) string {
	if r.hex && !r.decimal {
		return fmt.Sprintf("%#x", n)
	}
	return strconv.FormatUint(n, 10)
}

// lines prints the declaration with what stands before each member: its offset, or with an
// address where it is.
func (q aggregate) lines(env *environment, offsets bool, addr uint64) {
	if len(q.members) > 0 {
		fmt.Fprintf(env.out, "%v {\n", q.t)
		for _, path := range q.members {
			if m, err := q.t.Underlying().Member(path); err == nil {
				fmt.Fprintf(env.out, "%8s %s;\n", bracket(addr, m.Offset/8), m.Declare())
			}
		}
		fmt.Fprintln(env.out, "}")
		return
	}
	t := q.t
	if u := t.Underlying(); offsets && u.Aggregate() {
		t = u
	}
	for _, l := range t.Lines() {
		switch at := ""; {
		case !offsets:
			fmt.Fprintf(env.out, "%*s%s\n", 4*l.Depth, "", l.Text)
		case l.Depth == 0:
			fmt.Fprintln(env.out, l.Text)
		default:
			if l.Member {
				at = bracket(addr, l.Offset/8)
			}
			width := 8
			if addr != 0 {
				width = 20
			}
			fmt.Fprintf(env.out, "%*s %*s%s\n", width, at, 4*(l.Depth-1), "", l.Text)
		}
	}
}

// bracket is "[8]", or "[ffff888000000008]" of an object in memory.
func bracket(addr, offset uint64) string {
	if addr == 0 {
		return fmt.Sprintf("[%d]", offset)
	}
	return fmt.Sprintf("[%x]", addr+offset)
}

// objectDocument is a type or an object in JSON.
type objectDocument struct {
	Type    string        `json:"type"`
	Address hexAddress    `json:"address,omitempty"`
	CPU     *int          `json:"cpu,omitempty"`
	Size    uint64        `json:"size"`
	Members []valueMember `json:"members"`
}

// valuesDocument is the answer of struct, union and p: one object, or several.
type valuesDocument struct {
	Schema int `json:"schema"`
	*objectDocument
	Objects []objectDocument `json:"objects,omitempty"`
	Missing []kernel.Missing `json:"missing"`
}

// declaration is the type in JSON: members without values.
func (q aggregate) declaration() any {
	doc := objectDocument{Type: q.t.String(), Size: q.t.Size(), Members: []valueMember{}}
	t := q.t.Underlying()
	list := t.Members
	if len(q.members) > 0 {
		list = nil
		for _, path := range q.members {
			if m, err := t.Member(path); err == nil {
				list = append(list, m)
			}
		}
	}
	for _, m := range list {
		doc.Members = append(doc.Members, valueMember{
			Name: m.Name, Type: m.Type().String(), Offset: m.Offset / 8, Bit: m.Offset % 8 * min(m.Bits, 1), Bits: m.Bits, Size: m.Type().Size(),
		})
	}
	return valuesDocument{schema, &doc, nil, []kernel.Missing{}}
}

// print prints objects in memory.
func (q aggregate) print(env *environment, f *structFlags, at []place) error {
	var docs []objectDocument
	lack := []kernel.Missing{}
	style := valueStyle(env, q.k, f.radix)
	read := 0
	for _, p := range at {
		if p.cpu >= 0 && !f.json {
			fmt.Fprintf(env.out, "[CPU %d]: %x\n", p.cpu, p.addr)
		}
		for i := range f.count {
			o := q.k.Object(q.t, p.addr+uint64(i)*q.t.Size())
			if f.offsets && !f.json {
				q.lines(env, true, o.Addr)
				read++
				continue
			}
			vals, err := q.values(o)
			if err != nil {
				return err
			}
			for _, v := range vals {
				if !v.Absent() {
					read++
				}
				lack = append(lack, valueMissing(env, "memory", v)...)
			}
			switch {
			case f.json:
				docs = append(docs, q.document(o, vals, p.cpu))
			case read > 0 || len(at)*f.count > 1 || len(q.members) > 0: // of one that is not there the error says all
				q.text(env, o, vals, style, f.count > 1)
			}
		}
	}
	if read == 0 && len(lack) > 0 {
		return fmt.Errorf("%v: %s", q.t, lack[0].Why)
	}
	if !f.json {
		return nil
	}
	return printJSON(env.out, several(docs, lack))
}

// several is a document of one object or of more.
func several(docs []objectDocument, lack []kernel.Missing) any {
	if len(docs) == 1 {
		return valuesDocument{schema, &docs[0], nil, lack}
	}
	return valuesDocument{schema, nil, docs, lack}
}

// values reads the object, or the members that are asked for.
func (q aggregate) values(o kernel.Object) ([]kernel.Value, error) {
	if len(q.members) == 0 {
		return []kernel.Value{o.Value()}, nil
	}
	var list []kernel.Value
	for _, path := range q.members {
		m, err := o.Member(path)
		if err != nil {
			return nil, err
		}
		v := m.Value()
		v.Name = path
		list = append(list, v)
	}
	return list, nil
}

func (q aggregate) text(env *environment, o kernel.Object, vals []kernel.Value, style kernel.ValueStyle, several bool) {
	if len(q.members) == 0 {
		fmt.Fprintf(env.out, "%v %s\n", q.t, vals[0].Format(style))
		return
	}
	if several {
		fmt.Fprintf(env.out, "%x\n", o.Addr)
	}
	for _, v := range vals {
		fmt.Fprintf(env.out, "  %s = %s\n", v.Name, indent(v.Format(style)))
	}
}

// indent moves all lines but the first to the right.
func indent(text string) string { return strings.ReplaceAll(text, "\n", "\n  ") }

func (q aggregate) document(o kernel.Object, vals []kernel.Value, cpu int) objectDocument {
	d := objectDocument{Type: q.t.String(), Address: hexAddress(o.Addr), Size: q.t.Size(), Members: []valueMember{}}
	if cpu >= 0 {
		d.CPU = &cpu
	}
	if len(q.members) == 0 {
		d.Members = membersDocument(vals[0], 0)
		return d
	}
	for _, v := range vals {
		m := memberDocument(v, v.Offset)
		m.Offset = v.Addr - o.Addr
		d.Members = append(d.Members, m)
	}
	return d
}
