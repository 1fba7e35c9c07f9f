package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/oops"
	"github.com/kautopsy/kautopsy/triage"
)

// reportFlags say in which form a report is printed.
type reportFlags struct{ json, markdown bool }

func addReportFlags(fs *pflag.FlagSet) *reportFlags {
	f := &reportFlags{}
	fs.BoolVar(&f.json, "json", false, "print JSON")
	fs.BoolVar(&f.markdown, "markdown", false, "print Markdown, for a ticket")
	return f
}

func triageCommand() command {
	return command{
		name: "triage", group: "What happened", args: "DUMP",
		short: "say what happened: the verdict, its evidence, the machine",
		long: `Answers from the dump alone. The first line is the verdict, with how sure it is:
sure, likely or guess. The signature stays the same when the same crash happens
on another machine or build. -v adds the rest behind it: every finding with its
evidence, who waits for whom and for which lock, the stacks of all tasks.`,
		example: "kautopsy triage /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			df, form := addCodeFlags(fs), addReportFlags(fs)
			df.debug.hurry = true
			all := fs.BoolP("all", "v", false, "print all that was found: findings, stacks of all tasks, locks")
			return func(env *environment, args []string) error {
				k, done, err := df.openAlone(env, args)
				if err != nil {
					return err
				}
				defer done()
				rep, err := triage.Run(env.ctx, k)
				if err != nil {
					return err
				}
				for _, m := range rep.Missing {
					env.met(m.Err)
				}
				if k.Dump().Header.Incomplete {
					env.partial = true
				}
				if form.json {
					return printJSON(env.out, rep)
				}
				s := newScreen(env, rep)
				s.dumpLine, s.file, s.damaged = dumpLine(env.ctx, k), args[0], env.partial
				if form.markdown {
					return s.markdown(env.out)
				}
				s.print(env.out)
				if *all {
					s.sections(env.out)
				}
				return nil
			}
		},
	}
}

func oopsCommand() command {
	return command{
		name: "oops", group: "What happened", args: "FILE|-",
		short: "the same verdict from text: vmcore-dmesg.txt, a console capture",
		long: `Reads any text with kernel messages in it; - is standard input. A text in which
no report is found is no answer (exit 1).

With -k the text itself is printed, with file and line behind each address and
function+0x12/0x34 in it, as the kernel's scripts/decode_stacktrace.sh does;
--debug-dir and --debuginfod find the vmlinux of the text's release and the
files of its modules. With --json the lines are in the reports. A file of
another release, banner or build ID than the text has is refused, and a function
of another size than in the text gets no line.`,
		example: "kautopsy oops /var/crash/vmcore-dmesg.txt",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			form, debug := addReportFlags(fs), &debugFlags{}
			debug.add(fs, true)
			return func(env *environment, args []string) error {
				switch {
				case len(args) == 0:
					return usagef("which text? (- is standard input)")
				case debug.asked() && form.markdown:
					return usagef("-k prints the text itself, or with --json the lines in it, no Markdown")
				}
				if err := noMore(args[1:]); err != nil {
					return err
				}
				return runOops(env, args[0], form, debug)
			}
		},
	}
}

// runOops judges a text and prints the verdict as triage does.
func runOops(env *environment, name string, form *reportFlags, debug *debugFlags) error {
	text, err := readText(env, name)
	if err != nil {
		return err
	}
	rep, log, err := triage.Text(text)
	if debug.asked() && !form.json {
		return decodeText(env, debug, name, text, log, true)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if debug.asked() {
		if err := decodeText(env, debug, name, text, log, false); err != nil {
			env.warn("%v", err)
			rep.Missing = append(rep.Missing, triage.Missing{What: "source lines", Where: name, Why: err.Error(), Cost: "file and line of the frames"})
		}
	}
	if form.json {
		return printJSON(env.out, struct {
			*triage.Report
			Oopses  []*oops.Oops     `json:"oopses"`
			Missing []triage.Missing `json:"missing"` // in front of the report's own, to be last
		}{rep, log.Oopses, rep.Missing})
	}
	s := newScreen(env, rep)
	s.file, s.text = name, true
	if form.markdown {
		return s.markdown(env.out)
	}
	s.print(env.out)
	return nil
}
