package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

type whatisFlags struct {
	dump *dumpFlags
	json bool
}

func whatisCommand() command {
	return command{
		name: "whatis", group: "Memory and types", args: "DUMP NAME|EXPRESSION",
		short: "declaration of a type, variable, function or enumerator",
		long: `NAME is a type (task_struct, struct rq, atomic_t), a member of one
(task_struct.comm), a variable, a function or an enumerator. An expression is as
for p; only its type is printed.`,
		example: "kautopsy whatis /var/crash/vmcore vfs_read",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &whatisFlags{dump: addDumpFlags(fs)}
			fs.BoolVar(&f.json, "json", false, "print JSON")
			return f.run
		},
	}
}

func (f *whatisFlags) run(env *environment, args []string) error {
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	if len(rest) == 0 {
		return usagef("what?")
	}
	name := strings.Join(rest, " ")
	text, size, err := whatis(env, k, name)
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(env.out, struct {
			Schema      int              `json:"schema"`
			Declaration string           `json:"declaration"`
			Size        uint64           `json:"size,omitempty"`
			Missing     []kernel.Missing `json:"missing"`
		}{schema, text, size, []kernel.Missing{}})
	}
	fmt.Fprintln(env.out, text)
	if strings.HasSuffix(text, "}") && size > 0 {
		fmt.Fprintf(env.out, "SIZE: %d\n", size)
	}
	return nil
}

// whatis declares what a name stands for: what is in memory before a type.
func whatis(env *environment, k *kernel.Kernel, name string) (text string, size uint64, err error) {
	t, err := k.FindType(env.ctx, name)
	if err == nil {
		return t.Declare(), t.Size(), nil
	}
	if !errors.Is(err, symbols.ErrNoType) {
		return "", 0, err
	}
	if of, path, ok := strings.Cut(name, "."); ok {
		if t, terr := k.FindType(env.ctx, of); terr == nil {
			m, err := t.Underlying().Member(path)
			if err != nil {
				return "", 0, suggest(env, k, err, path, t)
			}
			return m.Declare() + ";", m.Type().Size(), nil
		}
	}
	list, eerr := k.Evaluate(env.ctx, name)
	if errors.Is(eerr, kernel.ErrPerCPU) {
		list, eerr = k.Evaluate(env.ctx, name+":0")
	}
	switch {
	case eerr == nil && list[0].Type.Kind == symbols.KindEnum && !list[0].Place && firstName.FindString(name) == name:
		return fmt.Sprintf("%v %s = %d;", list[0].Type, name, int64(list[0].Number)), 0, nil
	case eerr == nil:
		return declareVariable(list[0].Type, name), list[0].Type.Size(), nil
	case errors.Is(eerr, symbols.ErrNoSymbol):
		err = fmt.Errorf("%s: no type, variable, function or enumerator of that name", name)
		near := nearNames(bareName(name), typeNames(k))
		if table, _ := k.AllSymbols(env.ctx); table != nil {
			near = append(near, nearNames(bareName(name), symbolNames(table))...)
		}
		return "", 0, meant(err, near[:min(len(near), mostNear)])
	}
	return "", 0, explain(env, k, name, eerr)
}
