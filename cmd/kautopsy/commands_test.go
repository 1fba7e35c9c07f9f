package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestTable: every row of the table has what help, the manual and completion need.
func TestTable(t *testing.T) {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
		if c.short == "" || c.setup == nil || !slices.Contains(groups, c.group) {
			t.Errorf("%s: short %q, group %q", c.name, c.short, c.group)
		}
		if !strings.HasPrefix(c.example, "kautopsy "+c.name) {
			t.Errorf("%s: its example is %q", c.name, c.example)
		}
		for _, line := range strings.Split(c.long, "\n") {
			if columns(line) > 80 {
				t.Errorf("%s: a line of its help has %d columns: %s", c.name, columns(line), line)
			}
		}
		fs, _ := c.flagSet()
		fs.VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s has no help", c.name, f.Name)
			}
		})
	}
	slices.Sort(names)
	if unique := slices.Compact(slices.Clone(names)); len(unique) != len(names) {
		t.Errorf("a name stands twice: %q", names)
	}
}

// TestHelp: -h, --help and help COMMAND say the same, on stdout, with exit 0, and fit 80
// columns.
func TestHelp(t *testing.T) {
	for _, c := range commands() {
		want := call(t, "help", c.name)
		if want.code != exitOK || want.err != "" || !strings.Contains(want.out, "usage: kautopsy "+c.name) {
			t.Errorf("help %s: %+v", c.name, want)
		}
		for _, flag := range []string{"-h", "--help"} {
			if got := call(t, c.name, flag); got != want {
				t.Errorf("%s %s: %+v, want %+v", c.name, flag, got, want)
			}
		}
		for _, line := range strings.Split(want.out, "\n") {
			if columns(line) > 80 {
				t.Errorf("help %s: %d columns: %s", c.name, columns(line), line)
			}
		}
	}
	overview := call(t, "help").out
	if n := strings.Count(overview, "\n"); n > 24 {
		t.Errorf("the overview has %d lines, a screen 24", n)
	}
	for _, c := range visible() {
		if !strings.Contains(overview, c.name) {
			t.Errorf("the overview lacks %s", c.name)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"log", "log", 0},
		{"", "log", 3},
		{"lgo", "log", 1},
		{"lo", "log", 1},
		{"logs", "log", 1},
		{"traige", "triage", 1},
		{"verfiy", "verify", 1},
		{"bt", "rd", 2},
		{"kitten", "sitting", 3},
	} {
		if got := distance(c.a, c.b); got != c.want || distance(c.b, c.a) != got {
			t.Errorf("distance(%q, %q) = %d, want %d both ways", c.a, c.b, got, c.want)
		}
	}
}

func TestUnknownCommand(t *testing.T) {
	for word, want := range map[string]string{
		"traige": `no command "traige"; did you mean "triage"?`,
		"lgo":    `no command "lgo"; did you mean "log"?`,
		"grep":   `no command "grep"`,
		"wr":     `no command wr: kautopsy writes to no dump`,
		"":       `no command ""`,
		"vmcore": `"vmcore" is no command; did you mean: kautopsy triage vmcore`,
		"a/b":    `"a/b" is no command; did you mean: kautopsy triage a/b`,
	} {
		if got := unknownCommand(word).Error(); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

func TestExpandWidths(t *testing.T) {
	got := expandWidths([]string{"-8", "-16", "x", "-32", "-64", "-o", "-7"})
	if want := []string{"--8", "--16", "x", "--32", "--64", "-o", "-7"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
