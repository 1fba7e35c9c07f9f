package main

import "strings"

// painter colours words, or leaves them alone.
type painter struct{ on bool }

// newPainter colours only for a terminal that wants it (https://no-color.org).
func newPainter(env *environment) painter {
	return painter{env.outTerm.is() && env.getenv("NO_COLOR") == "" && env.getenv("TERM") != "dumb"}
}

func (p painter) with(code, s string) string {
	if !p.on || strings.TrimSpace(s) == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p painter) bold(s string) string { return p.with("1", s) }
func (p painter) red(s string) string  { return p.with("1;31", s) }
func (p painter) dim(s string) string  { return p.with("2", s) }
