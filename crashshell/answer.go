package crashshell

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// Answer is what crash said to one command.
type Answer struct {
	Command  string
	Output   []byte   // without the warnings; kernel strings in it may hold any byte
	Warnings []string // "WARNING: …" and "NOTE: …", with their continuation lines
	Errors   []string // lines in which crash says that something failed; they are in Output too
	Stderr   []byte
	Mode     Mode
	Took     time.Duration
}

// CommandError is a command that crash could not answer: its answer is errors and nothing
// else, or crash broke down over it and caught itself.
type CommandError struct {
	Command string
	Text    string // crash's first words on it
}

func (e *CommandError) Error() string {
	name, _, _ := strings.Cut(e.Command, " ")
	return fmt.Sprintf("crash: %s: %s", e.Command, strings.TrimPrefix(e.Text, name+": "))
}

// newAnswer divides an output into the answer, the warnings and the errors.
func newAnswer(command string, out []byte) Answer {
	a := Answer{Command: command}
	a.Output, a.Warnings = splitWarnings(cleaned(out))
	name, _, _ := strings.Cut(strings.TrimSpace(command), " ")
	for line := range bytes.Lines(a.Output) {
		text := strings.TrimRight(string(line), " \n")
		if rest, ok := errorText(text, name); ok {
			a.Errors = append(a.Errors, rest)
		}
	}
	return a
}

// failed tells whether the answer is errors and nothing else.
func (a *Answer) failed() error {
	if bytes.HasPrefix(bytes.TrimSpace(a.Output), []byte("Usage:")) {
		return &CommandError{a.Command, "it does not take these arguments: " + string(bytes.TrimSpace(a.Output))}
	}
	if i := bytes.Index(a.Stderr, []byte("<segmentation violation")); i >= 0 {
		text, _, _ := bytes.Cut(a.Stderr[i:], []byte("\n"))
		return &CommandError{a.Command, "crash broke down over it: " + string(text)}
	}
	if len(a.Errors) == 0 {
		return nil
	}
	name, _, _ := strings.Cut(strings.TrimSpace(a.Command), " ")
	for line := range bytes.Lines(a.Output) {
		text := strings.TrimRight(string(line), " \n")
		_, isError := errorText(text, name)
		// the continuation lines of an error are indented; a usage text may follow it
		if strings.HasPrefix(text, "Usage:") {
			break
		}
		if text != "" && text != "possible alternatives:" && !isError && !strings.HasPrefix(text, " ") {
			return nil
		}
	}
	return &CommandError{a.Command, a.Errors[0]}
}

// errorText gives the text of a line in crash's form for errors: "COMMAND: text", where the
// command is the one that runs or crash itself.
func errorText(line, command string) (string, bool) {
	for _, prefix := range []string{command + ": ", "crash: "} {
		if rest, ok := strings.CutPrefix(line, prefix); ok && rest != "" {
			return rest, true
		}
	}
	for _, prefix := range []string{"symbol not found: ", "invalid command", "No symbol ", "No struct type named", "No definition of"} {
		if strings.HasPrefix(line, prefix) {
			return line, true
		}
	}
	return "", false
}

// cleaned drops what is made for terminals: bells, and lines of progress that a carriage
// return overwrites. A carriage return in a kernel's string stays if anything else than
// progress stands before it.
func cleaned(out []byte) []byte {
	if !bytes.ContainsAny(out, "\r\a") {
		return out
	}
	var kept []byte
	for line := range bytes.Lines(out) {
		line = bytes.ReplaceAll(line, []byte("\a"), nil)
		if i := bytes.LastIndexByte(line, '\r'); i >= 0 && progress(line[:i]) {
			line = line[i+1:]
		}
		kept = append(kept, line...)
	}
	return kept
}

// progress tells whether text is one of crash's "please wait... (…)" lines, or blanks over
// one.
func progress(text []byte) bool {
	return bytes.Contains(text, []byte("please wait")) || len(bytes.TrimSpace(text)) == 0
}

// splitWarnings takes out the blocks that begin with WARNING: or NOTE:, with the indented
// lines that go on with them and the empty lines around them.
func splitWarnings(out []byte) (rest []byte, warnings []string) {
	lines := bytes.SplitAfter(out, []byte("\n"))
	for i := 0; i < len(lines); i++ {
		if !isWarning(lines[i]) {
			rest = append(rest, lines[i]...)
			continue
		}
		rest = bytes.TrimSuffix(rest, []byte("\n\n"))
		if len(rest) > 0 && !bytes.HasSuffix(rest, []byte("\n")) {
			rest = append(rest, '\n')
		}
		text := string(lines[i])
		for i+1 < len(lines) && bytes.HasPrefix(lines[i+1], []byte("     ")) {
			i++
			text += string(lines[i])
		}
		if i+1 < len(lines) && len(bytes.TrimSpace(lines[i+1])) == 0 {
			i++
		}
		warnings = append(warnings, strings.TrimSpace(text))
	}
	if len(bytes.TrimSpace(rest)) == 0 {
		rest = nil
	}
	return rest, warnings
}

func isWarning(line []byte) bool {
	return bytes.HasPrefix(line, []byte("WARNING: ")) || bytes.HasPrefix(line, []byte("NOTE: ")) ||
		bytes.HasPrefix(line, []byte("bt: WARNING: "))
}
