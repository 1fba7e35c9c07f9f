package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

type pFlags struct {
	dump  *dumpFlags
	radix radixFlags
	json  bool
}

func pCommand() command {
	return command{
		name: "p", group: "Memory and types", args: "DUMP EXPRESSION",
		short: "value of a variable, or of what it leads to",
		long: `EXPRESSION is as in C: init_task.comm, init_task.mm->owner, *init_task.parent,
swap_info[0]->prio, ((struct rq *)0xffff888000000000)->nr_running, and sums of
them: jiffies / 250, sizeof(struct page). A dot follows pointers too. A per-CPU
variable takes the CPUs behind a colon: runqueues:0, runqueues:0.nr_running,
:0-2,5 or :a for all. The dump has the types of per-CPU variables, and kautopsy
knows those of the most asked for; another one is cast:
p DUMP '*(struct foo *)&bar'.`,
		example: "kautopsy p /var/crash/vmcore init_uts_ns.name.release",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &pFlags{dump: addDumpFlags(fs)}
			addRadixFlags(fs, &f.radix)
			fs.BoolVar(&f.json, "json", false, "print JSON")
			return f.run
		},
	}
}

func (f *pFlags) run(env *environment, args []string) error {
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	if len(rest) == 0 {
		return usagef("which variable?")
	}
	expr := strings.Join(rest, " ")
	list, err := k.Evaluate(env.ctx, expr)
	if errors.Is(err, kernel.ErrPerCPU) {
		return f.addresses(env, k, expr, err)
	}
	if err != nil {
		return explain(env, k, expr, err)
	}
	return f.print(env, k, expr, list)
}

// explain says what to do about an expression that could not be evaluated.
func explain(env *environment, k *kernel.Kernel, expr string, err error) error {
	name := firstName.FindString(expr)
	switch {
	case errors.Is(err, kernel.ErrExpression):
		return usagef("%s: %v", expr, err)
	case errors.Is(err, kernel.ErrUntyped):
		return fmt.Errorf("%w: give it one, p '*(struct TYPE *)&%s', or look at its memory, rd -s DUMP %s", err, name, name)
	case errors.Is(err, symbols.ErrNoMember):
		return suggestMember(env, k, expr, err)
	}
	return suggest(env, k, err, name, nil)
}

var (
	firstName = regexp.MustCompile(`[A-Za-z_]\w*`)
	lastStep  = regexp.MustCompile(`^(.*?)(?:\.|->)(\w+)[^.>]*$`)
)

// suggestMember names the members that what stands before the last dot has.
func suggestMember(env *environment, k *kernel.Kernel, expr string, err error) error {
	m := lastStep.FindStringSubmatch(expr)
	if m == nil {
		return err
	}
	before, berr := k.Evaluate(env.ctx, m[1])
	if berr != nil {
		return err
	}
	t := before[0].Type.Underlying()
	if t.Kind == symbols.KindPointer {
		t = t.Elem()
	}
	return suggest(env, k, err, m[2], t)
}

// addresses prints where each CPU has its variable, as crash does.
func (f *pFlags) addresses(env *environment, k *kernel.Kernel, expr string, why error) error {
	name := firstName.FindString(expr)
	if name != strings.TrimSpace(expr) {
		return usagef("%v: name the CPU, %s", why, strings.Replace(expr, name, name+":0", 1))
	}
	cpus, err := k.PerCPUAddresses(env.ctx, name, "a")
	if err != nil {
		return err
	}
	if f.json {
		list, err := k.Evaluate(env.ctx, name+":a")
		if err != nil {
			return err
		}
		return f.print(env, k, expr, list)
	}
	if list, err := k.Evaluate(env.ctx, name+":0"); err == nil {
		fmt.Fprintf(env.out, "PER-CPU DATA TYPE:\n  %s\n", declareVariable(list[0].Type, name))
	}
	fmt.Fprintln(env.out, "PER-CPU ADDRESSES:")
	for _, c := range cpus {
		fmt.Fprintf(env.out, "  [%d]: %x\n", c.CPU, c.Addr)
	}
	return nil
}

// declareVariable declares a variable in C.
func declareVariable(t *symbols.Type, name string) string {
	m := t.Whole()
	m.Name = name
	return m.Declare() + ";"
}

func (f *pFlags) print(env *environment, k *kernel.Kernel, expr string, list []kernel.Evaluated) error {
	style := valueStyle(env, k, f.radix)
	lack, docs, read := []kernel.Missing{}, []objectDocument{}, 0
	for _, e := range list {
		lack = append(lack, valueMissing(env, "memory", e.Value)...)
		if !e.Absent() {
			read++
		}
		switch {
		case f.json:
			docs = append(docs, evaluatedDocument(expr, e))
		case !e.Place && e.Type.Kind == symbols.KindEnum:
			fmt.Fprintf(env.out, "%s = %d\n", expr, int64(e.Number))
		case e.Absent() && len(list) == 1 && len(e.Parts) > 0: // the error says all
		case e.CPU >= 0:
			fmt.Fprintf(env.out, "per_cpu(%s, %d) = %s\n", withoutCPUs(expr), e.CPU, e.Format(style))
		default:
			fmt.Fprintf(env.out, "%s = %s\n", expr, e.Format(style))
		}
	}
	if read == 0 && len(lack) > 0 {
		return fmt.Errorf("%s: %s", expr, lack[0].Why)
	}
	if f.json {
		return printJSON(env.out, several(docs, lack))
	}
	return nil
}

var cpuSpec = regexp.MustCompile(`:(all|a|[0-9,-]+)`)

func withoutCPUs(expr string) string { return cpuSpec.ReplaceAllString(expr, "") }

// evaluatedDocument is a value in JSON: what is no struct is the one member of itself.
func evaluatedDocument(expr string, e kernel.Evaluated) objectDocument {
	d := objectDocument{Type: e.Type.String(), Size: e.Type.Size()}
	if e.Place {
		d.Address = hexAddress(e.Addr)
	}
	if e.CPU >= 0 {
		d.CPU = &e.CPU
	}
	if e.Type.Underlying().Aggregate() {
		d.Members = membersDocument(e.Value, 0)
		return d
	}
	v := e.Value
	v.Name, v.Offset = expr, 0
	d.Members = []valueMember{memberDocument(v, 0)}
	return d
}
