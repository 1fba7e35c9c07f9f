package crashshell

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrRefused wraps every refusal of Check.
var ErrRefused = errors.New("command refused")

// maxLine bounds a command. crash reads 1498 bytes of a line and runs the rest as a second
// command.
const maxLine = 1400

// maxWords bounds its words; crash takes 100.
const maxWords = 90

// allowed are the commands that neither write, nor start programs, nor change how later
// commands answer. Everything else is refused: crash gives first words that it does not
// know to gdb, which takes abbreviations (shel is its shell command).
var allowed = []string{
	"*", "ascii", "bpf", "bt", "btop", "dev", "dis", "eval", "files", "foreach", "fuser", "help", "ipcs", "irq",
	"kmem", "list", "log", "mach", "mod", "mount", "net", "p", "ps", "pte", "ptob", "ptov", "rd", "runq", "sbitmapq",
	"search", "sig", "struct", "swap", "sym", "sys", "task", "timer", "tree", "union", "vm", "vtop", "waitq", "whatis",
}

// unsafeOptions of allowed commands: they write files, read other files, or crash a live
// machine.
var unsafeOptions = map[string][]string{
	"rd":  {"-r"},
	"mod": {"-s", "-S", "-d", "-D", "-r", "-R"},
	"sys": {"-panic"},
}

// unsafeBytes reach a shell or a file: pipes, redirections, and what quotes them.
const unsafeBytes = "|!<>;&`$\\\"'"

// Check tells whether a command can be sent safely: one line of one of crash's commands that
// only read. The error wraps ErrRefused and says what is refused. Struct names as a first
// word (crash's short form of struct) are refused too: an error of typing could reach gdb.
func Check(command string) error {
	words := strings.Fields(command)
	switch {
	case len(words) == 0:
		return fmt.Errorf("%w: it is empty", ErrRefused)
	case len(command) > maxLine:
		return fmt.Errorf("%w: %d bytes; crash runs what is over %d as a second command", ErrRefused, len(command), maxLine)
	case len(words) > maxWords:
		return fmt.Errorf("%w: %d words, crash takes %d", ErrRefused, len(words), maxWords)
	case slices.Contains([]string{"q", "quit", "exit"}, words[0]):
		return fmt.Errorf("%w: %s ends the session; close it instead", ErrRefused, words[0])
	case !slices.Contains(allowed, words[0]):
		return fmt.Errorf("%w: %q is none of crash's commands that only read", ErrRefused, words[0])
	}
	for i, r := range command {
		if r < ' ' || r == 0x7f || strings.ContainsRune(unsafeBytes, r) {
			return fmt.Errorf("%w: %q at byte %d could reach a shell or a file", ErrRefused, r, i)
		}
	}
	return checkOptions(words)
}

// checkOptions looks for unsafe options, bundled ones (-xr) too.
func checkOptions(words []string) error {
	for _, w := range words[1:] {
		for _, o := range unsafeOptions[words[0]] {
			bundled := len(o) == 2 && strings.HasPrefix(w, "-") && strings.Contains(w, o[1:])
			if w == o || bundled {
				return fmt.Errorf("%w: %s %s writes, or reads other files", ErrRefused, words[0], w)
			}
		}
	}
	return nil
}

// checkLine is what even an unsafe command has to keep: one line that crash takes whole.
func checkLine(command string) error {
	if strings.TrimSpace(command) == "" || len(command) > maxLine || strings.ContainsAny(command, "\n\r\x00") {
		return fmt.Errorf("%w: it is not one line of 1 to %d bytes", ErrRefused, maxLine)
	}
	return nil
}
