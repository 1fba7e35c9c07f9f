package mm_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
)

func TestMain(m *testing.M) { dumptest.RunTests(m) }

// fields splits each line of a truth file into words; lines that begin with # are left out.
func fields(text string) (lines [][]string) {
	for line := range strings.Lines(text) {
		if w := strings.Fields(line); len(w) > 0 && !strings.HasPrefix(line, "#") {
			lines = append(lines, w)
		}
	}
	return lines
}

// number reads a decimal or hexadecimal number.
func number(t testing.TB, s string) (n uint64) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return n
}
