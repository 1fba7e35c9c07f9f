package golden

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// recorder is a test whose errors are kept.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, a ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, a...))
}

func TestCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "deep", "x.txt")
	steps := []struct {
		name  string
		got   string
		write bool
		want  string // part of the error, "" for none
	}{
		{"missing file", "a\n", false, "-update"},
		{"written", "a\n", true, ""},
		{"equal", "a\n", false, ""},
		{"different", "b\n", false, "x.txt"},
	}
	for _, s := range steps {
		r := &recorder{TB: t}
		check(r, file, s.got, s.write)
		if got := strings.Join(r.errors, "\n"); (got == "") != (s.want == "") || !strings.Contains(got, s.want) {
			t.Errorf("%s: errors %q, want %q", s.name, got, s.want)
		}
	}
}
