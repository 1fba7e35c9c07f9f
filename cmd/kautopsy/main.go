// Command kautopsy says what happened to a Linux machine from its crash dump alone.
//
//	kautopsy COMMAND [flags] DUMP [ARG…]
//
// The commands are rows of one table (commands.go), each in a file of its own; help,
// shell completion and the manual page are made from that table. Nothing here reads a
// dump: that is the library's, see the packages vmcore, kernel and triage.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/term"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// exit is what the process tells its caller.
type exit int

// The exit codes; scripts depend on them.
const (
	exitOK      exit = 0 // answered
	exitNone    exit = 1 // no answer, the reason is on stderr
	exitUsage   exit = 2 // wrong usage
	exitInput   exit = 3 // the input is not a dump that kautopsy reads; stderr names it and the way out
	exitPartial exit = 4 // answered in part: something was lost or corrupt
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	env := &environment{
		ctx: ctx, in: os.Stdin, err: os.Stderr, getenv: os.Getenv,
		outTerm: terminalOf(os.Stdout), errTerm: terminalOf(os.Stderr),
	}
	out := bufio.NewWriterSize(os.Stdout, 64<<10)
	env.out = out
	code := run(env, os.Args[1:])
	if err := out.Flush(); err != nil && code == exitOK {
		fmt.Fprintln(os.Stderr, "kautopsy:", err)
		code = exitNone
	}
	stop()
	os.Exit(int(code))
}

// environment is everything a command touches of the outside.
type environment struct {
	ctx     context.Context
	in      io.Reader
	out     io.Writer
	err     io.Writer
	getenv  func(string) string
	outTerm terminal
	errTerm terminal
	partial bool // an answer met lost or corrupt memory
}

// terminal is what is known of an output stream; Width is 0 when it is no terminal.
type terminal struct{ width int }

func terminalOf(f *os.File) terminal {
	if !term.IsTerminal(int(f.Fd())) {
		return terminal{}
	}
	w, _, err := term.GetSize(int(f.Fd()))
	if err != nil || w <= 0 {
		w = 80
	}
	return terminal{w}
}

func (t terminal) is() bool { return t.width > 0 }

// usageError is a mistake in how the command was called.
type usageError struct {
	msg  string
	name string // of the command, "" before one was known
}

func (e *usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error { return &usageError{msg: fmt.Sprintf(format, args...)} }

// run is kautopsy without the process round it.
func run(env *environment, args []string) exit {
	err := dispatch(env, args)
	if err == nil {
		if env.partial {
			return exitPartial
		}
		return exitOK
	}
	var usage *usageError
	var input *vmcore.NotADump
	var path *fs.PathError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(env.err, "kautopsy: %s\n", oneLine(usage.msg))
		if usage.name != "" {
			fmt.Fprintf(env.err, "usage: %s\n", find(usage.name).usage())
		} else {
			fmt.Fprintln(env.err, "usage: kautopsy COMMAND [flags] DUMP [ARG…]   (kautopsy help lists the commands)")
		}
		return exitUsage
	case errors.As(err, &input), errors.As(err, &path), errors.Is(err, errInput):
		fmt.Fprintf(env.err, "kautopsy: %s\n", oneLine(err.Error()))
		return exitInput
	}
	fmt.Fprintf(env.err, "kautopsy: %s\n", oneLine(err.Error()))
	return exitNone
}

// oneLine keeps a message on its line, whatever a file's name or a kernel's string brings.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// warn tells something on stderr that does not belong to the answer.
func (env *environment) warn(format string, args ...any) {
	fmt.Fprintf(env.err, "kautopsy: %s\n", oneLine(fmt.Sprintf(format, args...)))
}

// met notes that an answer ran into err: damage makes it partial.
func (env *environment) met(err error) {
	if phys.Damage(err) {
		env.partial = true
	}
}
