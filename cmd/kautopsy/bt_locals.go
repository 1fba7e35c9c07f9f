package main

import (
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// stackLocals finds the variables of the frames of one stack.
type stackLocals struct {
	lines  *sourceLines // says once what keeps the variables away
	locals *kernel.Locals
	style  kernel.ValueStyle
}

// newStackLocals makes ready; nil, and why, where the processor's are not understood.
func (b *btPrinter) newStackLocals(s kernel.Stack) *stackLocals {
	if !b.f.locals {
		return nil
	}
	l, err := b.u.Locals(s)
	if err != nil {
		b.lines.once("no variables: " + err.Error())
		return nil
	}
	return &stackLocals{b.lines, l, b.style}
}

// frame gives the functions of frame n, the innermost inlined one first.
func (l *stackLocals) frame(fr kernel.Frame, n int) []kernel.Scope {
	if l == nil {
		return nil
	}
	list, err := l.locals.Frame(l.lines.env.ctx, n)
	if err != nil && fr.Symbol.Name != "" && fr.Kind != kernel.FrameGuess {
		l.lines.tell(fr.Symbol.Module, err)
	}
	return list
}

// maxNameWidth is up to where the values of a function are aligned.
const maxNameWidth = 20

// printLocals prints the variables of one function, one a line.
func (b *btPrinter) printLocals(list []kernel.Local) {
	width := 0
	for _, v := range list {
		width = max(width, min(len(variableName(v)), maxNameWidth))
	}
	for _, v := range list {
		about := ""
		if v.Type != nil {
			about = v.Type.String()
		}
		if v.FromCaller && v.Err == nil {
			about += ", as its caller passed it"
		}
		fmt.Fprintf(b.env.out, "      %-*s = %s  (%s)\n", width, printable(variableName(v)), printable(v.Text(b.style)), printable(about))
	}
}

// variableName is what a variable is called; one that an inner block hides says so.
func variableName(v kernel.Local) string {
	switch {
	case v.Name == "":
		return "(unnamed)"
	case v.Hidden:
		return v.Name + " (outer)"
	}
	return v.Name
}

// localDocument is a variable in JSON.
type localDocument struct {
	Name       string     `json:"name"`
	Type       string     `json:"type"`
	Parameter  bool       `json:"parameter"`
	Line       int        `json:"line,omitempty"`
	Hidden     bool       `json:"hidden,omitempty"`
	FromCaller bool       `json:"from_caller,omitempty"`
	Address    hexAddress `json:"address,omitempty"`
	Register   string     `json:"register,omitempty"`
	Value      any        `json:"value,omitempty"`
	Text       string     `json:"text"`
	Optimised  bool       `json:"optimised_out,omitempty"`
	Why        string     `json:"why,omitempty"`
}

func (l *stackLocals) documents(list []kernel.Local) []localDocument {
	docs := make([]localDocument, 0, len(list))
	for _, v := range list {
		d := localDocument{
			Name: v.Name, Parameter: v.Parameter, Line: v.Line, Hidden: v.Hidden, Register: v.Register,
			FromCaller: v.FromCaller && v.Err == nil, Text: v.Text(l.style), Optimised: errors.Is(v.Err, dwarf.ErrOptimised),
		}
		if v.Type != nil {
			d.Type = v.Type.String()
		}
		if v.InMemory {
			d.Address = hexAddress(v.Value.Addr)
		}
		if v.Err != nil {
			d.Why = v.Err.Error()
		} else {
			d.Value = valueDocument(v.Value, 0)
		}
		docs = append(docs, d)
	}
	return docs
}
