package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// arguments prints the command line and the environment of tasks as crash's ps -a does.
func (p *psPrinter) arguments() {
	left := 0
	for i, t := range p.tasks {
		if i > 0 {
			fmt.Fprintln(p.env.out)
		}
		fmt.Fprintln(p.env.out, taskHead(t))
		args, env, err := t.Arguments()
		p.env.met(err)
		if phys.Reason(err) == phys.ErrExcluded {
			left++
		}
		if errors.Is(err, kernel.ErrNoUser) {
			fmt.Fprintln(p.env.out, "(no user memory)")
			continue
		}
		p.strings("ARG: ", " ", args)
		p.strings("ENV: ", "\n     ", env)
		switch {
		case err != nil && args == nil && env == nil:
			fmt.Fprintf(p.env.out, "(%s)\n", absence(err))
		case err != nil:
			fmt.Fprintf(p.env.out, "     (ends here: %s)\n", absence(err))
		}
	}
	if left > 0 {
		p.env.warn("arguments and environment of %s were left out of the dump with other pages of user space, as makedumpfile -d 31 does", count(left, "task"))
	}
}

// strings prints strings behind a name.
func (p *psPrinter) strings(name, between string, list []string) {
	if len(list) == 0 {
		return
	}
	quoted := make([]string, 0, len(list))
	for _, s := range list {
		if between == " " {
			s = shellQuote(s)
		}
		quoted = append(quoted, printable(s))
	}
	fmt.Fprintln(p.env.out, name+strings.Join(quoted, between))
}

// absence says why memory could not be read in a few words, the way of it left out.
func absence(err error) string {
	if r := phys.Reason(err); r != nil {
		return r.Error()
	}
	return printable(err.Error())
}

// miss notes what could not be read of a task. One reason for many tasks is told once.
func (p *psPrinter) miss(t kernel.Task, what string, err error) {
	if err == nil || errors.Is(err, kernel.ErrNoUser) {
		return
	}
	p.env.met(err)
	for _, m := range p.missing {
		if m.What == what && phys.Reason(m.Err) == phys.Reason(err) {
			return
		}
	}
	m := kernel.NewMissing(what, err, "")
	m.Where = fmt.Sprintf("task %d and perhaps others", t.PID)
	p.missing = append(p.missing, m)
}
