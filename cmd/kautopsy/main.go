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
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/kautopsy/kautopsy/kernel"
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // who asks again does not want to wait for a good end
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
	ctx       context.Context
	in        io.Reader
	out       io.Writer
	err       io.Writer
	getenv    func(string) string
	outTerm   terminal
	errTerm   terminal
	partial   bool            // an answer met lost or corrupt memory
	ignoreBTF bool            // types come from debug information, for tests
	kallsyms  kernel.Kallsyms // names too, likewise
	chosen    *chosenTasks    // what a command that foreach runs is about, else nil
}

// terminal is what is known of an output stream; its width is 0 when it is no terminal.
type terminal struct{ width, height int }

func terminalOf(f *os.File) terminal {
	if !term.IsTerminal(int(f.Fd())) {
		return terminal{}
	}
	w, h, err := term.GetSize(int(f.Fd()))
	if err != nil || w <= 0 || h <= 0 {
		w, h = screenWidth, screenLines
	}
	return terminal{w, h}
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
	var hint *hintError
	switch {
	case errors.As(err, &hint):
		env.warn("%s", hint.msg)
		return exitUsage
	case errors.As(err, &usage):
		env.warn("%s", usage.msg)
		line := "kautopsy COMMAND [flags] DUMP [ARG…]   (kautopsy help lists the commands)"
		if usage.name != "" {
			line = find(usage.name).usage()
		}
		fmt.Fprintf(env.err, "usage: %s\n", line)
		return exitUsage
	case errors.Is(err, errNotAsked):
		return exitUsage
	case errors.Is(err, errInput), errors.Is(err, vmcore.ErrNotDump):
		env.warn("%v", err)
		return exitInput
	case errors.Is(err, context.Canceled):
		env.warn("interrupted")
	case !errors.Is(err, errNoAnswer):
		env.warn("%v", err)
	}
	return exitNone
}

// errNotAsked: some of the questions were refused, and each was told already.
var errNotAsked = errors.New("not every question was asked")

// errNoAnswer: some of the questions had no answer, and each was told already.
var errNoAnswer = errors.New("not every question had an answer")

// oneLine keeps a message on its line, whatever a file's name or a kernel's string brings.
// Errors that were joined stand one behind the other.
func oneLine(s string) string { return printable(strings.ReplaceAll(s, "\n", "; ")) }

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
