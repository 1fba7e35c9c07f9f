package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/kautopsy/kautopsy/crashshell"
	"github.com/kautopsy/kautopsy/vmcore"
)

type crashFlags struct {
	dump     *dumpFlags
	engine   *engineFlags
	commands []string
	input    string
	json     bool
	unsafe   bool
	spoiled  bool
}

func crashCommand() command {
	return command{
		name: "crash", group: "crash itself", args: "DUMP",
		short: "the crash program, supervised: commands in, answers or JSON out",
		long: `Starts crash with the dump (all parts of a split set) and the kernel's vmlinux,
which is found as kautopsy debuginfo finds it, unpacked where need be, and has
to be of the same build. Each command has a deadline. Exit 0 when all were
answered, 1 when one failed, 2 when one was refused.
--json has the answers to sys, bt, ps, log, mod, files, mount, net, irq,
kmem -i, struct, union, dis and sym as values, others as text.
Without -c and -i commands come from stdin; on a terminal crash itself takes
over, without .crashrc and .gdbinit.
What this crash is known to get wrong of this kernel is told, and not asked.`,
		example: "kautopsy crash -c 'bt -a' -c 'ps -m' /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &crashFlags{dump: addCodeFlags(fs), engine: addEngineFlags(fs)}
			fs.StringArrayVarP(&f.commands, "command", "c", nil, "run `CMD`; may be given several times")
			fs.StringVarP(&f.input, "input", "i", "", "run the commands in `FILE`, a line each; - is stdin")
			fs.BoolVar(&f.unsafe, "unsafe", false, "also send commands that may write files or start programs")
			fs.BoolVar(&f.spoiled, "spoiled", false, "also ask what this crash is known to answer wrongly")
			fs.BoolVar(&f.json, "json", false, "print JSON")
			return f.run
		},
	}
}

func (f *crashFlags) run(env *environment, args []string) (err error) {
	release := holdOn(env)
	defer func() { release(err) }()
	d, files, err := openForCrash(env, f.dump, args)
	if err != nil {
		return err
	}
	defer d.Close()
	defer files.close()
	e, err := f.engine.prepare(env, d, files)
	if err != nil {
		return err
	}
	defer e.release()
	e.Unsafe, e.Spoiled = f.unsafe, f.spoiled
	if f.interactive(env) {
		return attachCrash(env, e.Config)
	}
	if err := f.read(env); err != nil {
		return err
	}
	return f.ask(env, e, d)
}

// interactive tells whether nobody but a user at a terminal gives commands.
func (f *crashFlags) interactive(env *environment) bool {
	in, ok := env.in.(*os.File)
	return ok && len(f.commands) == 0 && f.input == "" && term.IsTerminal(int(in.Fd()))
}

func attachCrash(env *environment, cfg crashshell.Config) error {
	p, err := crashshell.Find(env.ctx, cfg.Crash)
	if err != nil {
		return err
	}
	for _, d := range p.Doubts(cfg.Release) {
		env.warn("%s", d.Text)
	}
	return crashshell.Attach(env.ctx, cfg)
}

// read takes the commands of -i, or of stdin without -c and -i, and refuses the lot before
// crash is started for it.
func (f *crashFlags) read(env *environment) error {
	in := env.in
	switch {
	case f.input != "" && f.input != "-":
		file, err := os.Open(f.input)
		if err != nil {
			return usagef("-i: %v", err)
		}
		defer file.Close()
		in = file
	case f.input == "" && len(f.commands) > 0:
		in = strings.NewReader("")
	}
	if err := f.lines(in); err != nil {
		return err
	}
	if len(f.commands) == 0 {
		return usagef("which command? Give -c CMD, -i FILE, or commands on stdin")
	}
	if f.unsafe {
		return nil
	}
	for _, c := range f.commands {
		if err := crashshell.Check(c); err != nil {
			return usagef("%s: %v (--unsafe sends it)", c, err)
		}
	}
	return nil
}

// lines adds the commands of a file: comments are none, and q ends it as it ends crash.
func (f *crashFlags) lines(in io.Reader) error {
	s := bufio.NewScanner(in)
	for s.Scan() {
		line := strings.TrimSpace(s.Text())
		if slices.Contains([]string{"q", "quit", "exit"}, line) {
			break
		}
		if line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "//") {
			f.commands = append(f.commands, line)
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("the commands: %w", err)
	}
	return nil
}

// ask runs the commands in a session.
func (f *crashFlags) ask(env *environment, e *engine, d *vmcore.Dump) error {
	s, err := startCrash(env, e, d)
	if err != nil {
		return err
	}
	defer s.Close()
	warnSession(env, s)
	doc := newCrashDocument(s, e.Config, d.Name())
	failed, refused := 0, 0
	for _, c := range f.commands {
		a, err := s.Run(env.ctx, c)
		switch {
		case errors.Is(err, crashshell.ErrSpoiled):
			refused++
			env.warn("%s is not asked, as this crash is known to answer it wrongly here (--spoiled asks it)", c)
		case errors.Is(err, crashshell.ErrTimeout):
			failed++
			env.warn("%v in %s (--cmd-timeout); what it said until then is no answer", err, e.Timeout)
		case err != nil:
			failed++
			env.warn("%v", err)
		}
		if f.json {
			doc.Commands = append(doc.Commands, newCrashAnswer(a, err))
		} else if !errors.Is(err, crashshell.ErrSpoiled) {
			if err := printAnswer(env, a, len(f.commands) > 1); err != nil {
				return err
			}
		}
		if env.ctx.Err() != nil {
			return env.ctx.Err()
		}
	}
	if f.json {
		if err := printJSON(env.out, doc); err != nil {
			return err
		}
	}
	switch {
	case failed > 0:
		return errNoAnswer
	case refused > 0:
		return errNotAsked
	}
	return nil
}
