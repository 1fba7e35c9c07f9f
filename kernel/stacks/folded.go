package stacks

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
)

// WriteFolded writes a line for each group, as flamegraph.pl and speedscope read it: the
// task's state and the functions from the outermost to the innermost with semicolons, a
// blank, and how many tasks.
func WriteFolded(w io.Writer, groups []kernel.StackGroup) error {
	b := bufio.NewWriter(w)
	for _, g := range groups {
		b.WriteString(g.State.String())
		for _, name := range outermostFirst(g) {
			b.WriteByte(';')
			b.WriteString(strings.ReplaceAll(name, ";", ":"))
		}
		fmt.Fprintf(b, " %d\n", len(g.Tasks))
	}
	return b.Flush()
}

func outermostFirst(g kernel.StackGroup) []string {
	if len(g.Frames) == 0 {
		return []string{noFrames(g.Tasks[0])}
	}
	names := make([]string, 0, len(g.Frames))
	for i := len(g.Frames) - 1; i >= 0; i-- {
		names = append(names, frameName(g.Frames[i]))
	}
	return names
}
