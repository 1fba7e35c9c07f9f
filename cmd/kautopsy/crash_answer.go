package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/crashshell"
	"github.com/kautopsy/kautopsy/kernel"
)

// warnSession tells what is known to be wrong, and what crash itself said at its start.
func warnSession(env *environment, s *crashshell.Session) {
	for _, d := range s.Doubts {
		env.warn("%s", d.Text)
	}
	for _, w := range plainWarnings(s) {
		env.warn("crash: %s", strings.Join(strings.Fields(w), " "))
	}
}

// plainWarnings are crash's own without those that a doubt quotes.
func plainWarnings(s *crashshell.Session) []string {
	list := []string{}
	for _, w := range s.Warnings {
		first, _, _ := strings.Cut(w, "\n")
		quoted := func(d crashshell.Doubt) bool {
			return d.Explains(w) || strings.Contains(d.Text, strings.TrimSpace(first))
		}
		if !slices.ContainsFunc(s.Doubts, quoted) {
			list = append(list, w)
		}
	}
	return list
}

// printAnswer prints what crash said, its warnings on stderr. Several answers read like a
// recorded session.
func printAnswer(env *environment, a crashshell.Answer, several bool) error {
	for _, w := range a.Warnings {
		env.warn("%s: %s", a.Command, strings.Join(strings.Fields(w), " "))
	}
	if several {
		fmt.Fprintf(env.out, "crash> %s\n", a.Command)
	}
	if !env.outTerm.is() {
		_, err := env.out.Write(a.Output)
		if n := len(a.Output); n > 0 && a.Output[n-1] != '\n' { // it was cut
			_, err = fmt.Fprintln(env.out)
		}
		return err
	}
	for line := range strings.Lines(string(a.Output)) { // with what a terminal might obey made visible
		words := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		for i := range words {
			words[i] = printable(words[i])
		}
		if _, err := fmt.Fprintln(env.out, strings.Join(words, "\t")); err != nil {
			return err
		}
	}
	return nil
}

// crashDocument is the session in JSON.
type crashDocument struct {
	Schema   int              `json:"schema"`
	File     string           `json:"file"`
	Release  string           `json:"release,omitempty"`
	VMLinux  string           `json:"vmlinux"`
	Program  string           `json:"program"`
	Version  string           `json:"version"`
	Mode     crashshell.Mode  `json:"mode"`
	Doubts   []string         `json:"doubts"`
	Warnings []string         `json:"warnings"`
	Commands []crashAnswer    `json:"commands"`
	Missing  []kernel.Missing `json:"missing"`
}

// crashAnswer is one of its commands: the answer as a value, or as text where its form has none
// or was not understood.
type crashAnswer struct {
	Command  string   `json:"command"`
	Result   any      `json:"result,omitempty"`
	Output   string   `json:"output,omitempty"`
	Warnings []string `json:"warnings"`
	Errors   []string `json:"errors"` // crash's own, and the one that ended the command
	Failed   bool     `json:"failed"`
	Took     int64    `json:"took_ns"`
}

func newCrashDocument(s *crashshell.Session, cfg crashshell.Config, dump string) *crashDocument {
	d := &crashDocument{
		Schema: schema, File: filepath.Base(dump), Release: cfg.Release, VMLinux: cfg.VMLinux,
		Program: s.Program.Path, Version: s.Program.Version.String(), Mode: s.Mode,
		Doubts: []string{}, Warnings: plainWarnings(s), Commands: []crashAnswer{}, Missing: []kernel.Missing{},
	}
	for _, doubt := range s.Doubts {
		d.Doubts = append(d.Doubts, doubt.Text)
	}
	return d
}

func newCrashAnswer(a crashshell.Answer, err error) crashAnswer {
	c := crashAnswer{
		Command: a.Command, Failed: err != nil, Took: int64(a.Took),
		Warnings: append([]string{}, a.Warnings...), Errors: append([]string{}, a.Errors...),
	}
	var own *crashshell.CommandError
	if err != nil && (!errors.As(err, &own) || len(a.Errors) == 0) {
		c.Errors = append(c.Errors, err.Error())
	}
	v, wrong := a.Typed()
	if v != nil && wrong == nil && err == nil {
		c.Result = v
	} else {
		c.Output = string(a.Output)
	}
	return c
}
