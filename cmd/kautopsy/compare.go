package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/crashshell"
	"github.com/kautopsy/kautopsy/kernel"
)

type compareFlags struct {
	dump   *dumpFlags
	engine *engineFlags
	json   bool
}

func compareCommand() command {
	return command{
		name: "compare", group: "crash itself", args: "DUMP",
		short: "kautopsy's answers and crash's side by side, and who is wrong",
		long: `Asks crash and kautopsy for tasks, the panic task, all stacks, modules and the
log of one dump. Each difference is looked up in the dump again, by another way
than either took, and in what is known of this crash: crash's fault, kautopsy's,
both partial, counted in another way, or open. Exit 0 when kautopsy's answers
stand, 4 when one does not or a difference stays open, 1 when crash does not
start.`,
		example: "kautopsy compare -k vmlinux /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &compareFlags{dump: addCodeFlags(fs), engine: addEngineFlags(fs)}
			fs.BoolVar(&f.json, "json", false, "print JSON")
			return f.run
		},
	}
}

// verdict says whose fault a difference is.
type verdict string

const (
	crashWrong    verdict = "crash"
	kautopsyWrong verdict = "kautopsy"
	bothPartial   verdict = "both partial"
	neither       verdict = "neither" // they count differently, and both say what they do
	undecided     verdict = "open"
)

// difference is what one of the two says and the other does not, as far as it has one cause.
type difference struct {
	Subject  string   `json:"subject"`
	Fault    verdict  `json:"fault"`
	Count    int      `json:"count"`
	What     string   `json:"what"`
	Because  string   `json:"because,omitempty"` // what is known of this crash
	Checked  []string `json:"checked"`           // what the dump itself says
	Examples []string `json:"examples"`          // at most maxExamples

	object  string // what is counted: "frame"
	refuted int    // of false frames: those whose call goes elsewhere
}

// maxExamples bounds what is shown of a difference.
const maxExamples = 4

func (d *difference) example(format string, args ...any) {
	if len(d.Examples) < maxExamples {
		d.Examples = append(d.Examples, fmt.Sprintf(format, args...))
	}
}

// compared is a row of the overview: how many each has, and how many are the same.
type compared struct {
	Subject  string `json:"subject"`
	Kautopsy int    `json:"kautopsy"`
	Crash    int    `json:"crash"`
	Equal    int    `json:"equal"`
	Unit     string `json:"unit"`
}

// comparison is one run of compare.
type comparison struct {
	env      *environment
	ctx      context.Context
	k        *kernel.Kernel
	session  *crashshell.Session
	tasks    []kernel.Task
	rows     []compared
	all      []*difference
	lack     *lacking
	unwinder *kernel.Unwinder // nil: there are no stacks
	broke    bool             // crash's answer of stacks ended with an error
}

func (f *compareFlags) run(env *environment, args []string) (err error) {
	release := holdOn(env)
	defer func() { release(err) }()
	d, files, err := openForCrash(env, f.dump, args)
	if err != nil {
		return err
	}
	defer d.Close()
	defer files.close()
	k := files.k
	if k == nil {
		return errors.New("kautopsy finds no kernel in the dump: there is nothing to compare")
	}
	e, err := f.engine.prepare(env, d, files)
	if err != nil {
		return err
	}
	defer e.release()
	e.Spoiled = true // what is known to be wrong is what is of interest
	s, err := startCrash(env, e, d)
	if err != nil {
		return err
	}
	defer s.Close()
	c := &comparison{env: env, ctx: env.ctx, k: k, session: s, lack: &lacking{env: env}}
	if err := c.run(); err != nil {
		return err
	}
	if f.json {
		err = printJSON(env.out, c.document(d.Name(), e))
	} else {
		c.print(d.Name())
	}
	for _, d := range c.all {
		env.partial = env.partial || d.Fault != crashWrong && d.Fault != neither
	}
	return err
}

// run compares subject by subject. One that crash cannot answer does not end the others.
func (c *comparison) run() error {
	tasks, missing, err := allTasks(c.env, c.k)
	if err != nil {
		return err
	}
	c.tasks = tasks
	c.lack.all(missing)
	if c.unwinder, err = c.k.Unwinder(c.ctx); err != nil {
		c.lack.add("stacks", err)
	}
	for _, subject := range []func(){c.compareTasks, c.comparePanic, c.compareStacks, c.compareModules, c.compareLog} {
		if subject(); c.ctx.Err() != nil {
			return c.ctx.Err()
		}
	}
	return nil
}

// add makes a difference.
func (c *comparison) add(subject, object string, fault verdict) *difference {
	d := &difference{Subject: subject, Fault: fault, object: object, Checked: []string{}, Examples: []string{}}
	c.all = append(c.all, d)
	return d
}

// row adds a line of the overview.
func (c *comparison) row(subject, unit string, ours, theirs, equal int) {
	c.rows = append(c.rows, compared{subject, ours, theirs, equal, unit})
}

// failed notes that crash gave no answer, or one that ends with an error.
func (c *comparison) failed(subject, command string, err error) {
	if err == nil {
		return
	}
	d := c.add(subject, "answer", crashWrong)
	d.Count, d.What = 1, fmt.Sprintf("crash did not answer %s in full", command)
	d.Because = c.doubt(subject) // what its releases get wrong are answers, not their ends
	d.example("%s", strings.TrimPrefix(err.Error(), "crash: "))
}

// known is what is known of this crash on this kernel that spoils a subject.
func (c *comparison) known(subject string) string {
	for _, f := range crashFaults {
		if f.subject == subject && c.session.Program.Version.Before(f.fixed) && f.applies(c.k) {
			return fmt.Sprintf("crash before %s %s", f.fixed, f.text)
		}
	}
	return c.doubt(subject)
}

// doubt is what crash said at its start that spoils a subject.
func (c *comparison) doubt(subject string) string {
	command := map[string]string{"tasks": "ps", "panic task": "bt", "stacks": "bt", "modules": "mod", "log": "log"}[subject]
	for _, d := range c.session.Doubts {
		for _, s := range d.Spoils {
			if s == command {
				return d.Text
			}
		}
	}
	return ""
}

// document is the answer in JSON.
func (c *comparison) document(dump string, e *engine) any {
	head := newCrashDocument(c.session, e.Config, dump)
	return struct {
		Schema      int              `json:"schema"`
		File        string           `json:"file"`
		Release     string           `json:"release,omitempty"`
		Program     string           `json:"program"`
		Version     string           `json:"version"`
		Mode        crashshell.Mode  `json:"mode"`
		Doubts      []string         `json:"doubts"`
		Warnings    []string         `json:"warnings"`
		Compared    []compared       `json:"compared"`
		Differences []*difference    `json:"differences"`
		Missing     []kernel.Missing `json:"missing"`
	}{
		schema, head.File, head.Release, head.Program, head.Version, head.Mode, head.Doubts, head.Warnings,
		c.rows, append([]*difference{}, c.all...), c.lack.document(),
	}
}
