package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// sourceLines finds the lines of an answer's addresses and says once what keeps it from them.
type sourceLines struct {
	env  *environment
	k    *kernel.Kernel
	said map[string]bool
}

func newSourceLines(env *environment, k *kernel.Kernel) *sourceLines {
	return &sourceLines{env: env, k: k, said: map[string]bool{}}
}

// frame gives the lines of a frame, the innermost inlined function first; none where they
// are not known.
func (l *sourceLines) frame(fr kernel.Frame) []dwarf.Source {
	if fr.Symbol.Name == "" {
		return nil
	}
	chain, err := l.k.FrameSource(l.env.ctx, fr)
	if err != nil {
		l.tell(fr.Symbol.Module, err)
	}
	return chain
}

// symbol gives the line of code behind a symbol, that of the innermost inlined function; none
// of data. Without any debug information it says nothing: nobody asked for lines.
func (l *sourceLines) symbol(s symbols.Symbol, offset uint64) dwarf.Source {
	if !strings.ContainsAny(string(s.Type), "tTwW") {
		return dwarf.Source{}
	}
	chain, err := l.k.Source(l.env.ctx, s.Addr+offset)
	if _, missing := l.k.DebugFile(l.env.ctx, s.Module); err != nil && !errors.Is(missing, dwarf.ErrNoDebug) {
		l.tell(s.Module, err)
	}
	if len(chain) == 0 {
		return dwarf.Source{}
	}
	return chain[0]
}

// tell says why there is no line in a module, or in the kernel itself. Code that no debug
// information is about is nothing to tell of, and where the kernel has none nothing is said
// of its modules.
func (l *sourceLines) tell(module string, err error) {
	if _, missing := l.k.DebugFile(l.env.ctx, module); missing != nil {
		if _, kernels := l.k.DebugFile(l.env.ctx, ""); errors.Is(missing, dwarf.ErrNoDebug) && kernels != nil {
			missing = kernels
		}
		l.once("no source lines: " + missing.Error())
		return
	}
	switch {
	case errors.Is(err, dwarf.ErrSplit):
		if !l.said["split"] { // of thousands of files, one is enough
			l.said["split"] = true
			l.once(err.Error())
		}
	case !errors.Is(err, dwarf.ErrNoDebug):
		l.env.met(err)
		l.once("source lines: " + err.Error())
	}
}

func (l *sourceLines) once(text string) {
	if !l.said[text] {
		l.said[text] = true
		l.env.warn("%s", printable(text))
	}
}

// crashLine is a line as crash prints it: "kernel/panic.c: 358".
func crashLine(s dwarf.Source) string { return fmt.Sprintf("%s: %d", printable(s.File), s.Line) }
