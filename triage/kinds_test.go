package triage

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/oops"
)

const kindsDir = "../testdata/kinds"

// truth is what is known of a crash that was made on purpose; testdata/kinds/KIND.json.
type truth struct {
	Case    string
	Kind    oops.Kind
	Title   string
	Panic   *string
	Culprit *string
	Module  *string
	Context string
	CPU     *int
	PID     *int
	Comm    string
}

// silent are the captures that hold no report, and why.
var silent = map[string]string{
	"stackoverflow.console.txt": "on an exception stack printing is deferred, and kdump came before it",
	"nmi.console.txt":           "printing is deferred in an NMI, and kdump came before it",
}

// contexts maps the words of the truth to ours where they are not the same.
var contexts = map[string]Context{
	"khungtaskd": KThread, // the thread that noticed
	"init":       Process,
	"nmi":        InNMI,
}

// TestKinds holds the verdict on every crash against what is known of it, from the dump's log and from the
// serial console.
func TestKinds(t *testing.T) {
	for dir, sources := range map[string][]string{
		kindsDir:           {".dmesg.txt", ".console.txt"},
		kindsDir + "-6.12": {".dmesg.txt"},
	} {
		files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
		if len(files) != 24 {
			t.Fatalf("%d kinds in %s, want 24", len(files), dir)
		}
		for _, f := range files {
			want := readTruth(t, f)
			for _, source := range sources {
				t.Run(filepath.Base(dir)+"/"+want.Case+source, func(t *testing.T) {
					checkKind(t, strings.TrimSuffix(f, ".json")+source, want)
				})
			}
		}
	}
}

// TestSameSignature: a crash has the same signature on both kernels.
func TestSameSignature(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(kindsDir, "*.dmesg.txt"))
	for _, f := range files {
		one, _, err1 := Text(read(t, f))
		two, _, err2 := Text(read(t, filepath.Join(kindsDir+"-6.12", filepath.Base(f))))
		if err1 != nil || err2 != nil || one.Signature != two.Signature {
			t.Errorf("%s: %s on 6.1, %s on 6.12, %v %v", filepath.Base(f), one.Signature, two.Signature, err1, err2)
		}
	}
}

func checkKind(t *testing.T, file string, want truth) {
	r, log, err := Text(read(t, file))
	if why, ok := silent[filepath.Base(file)]; ok {
		if !errors.Is(err, oops.ErrNoReport) || r.Verdict.Kind != oops.Unknown {
			t.Errorf("kind %q, %v; want nothing found: %s", r.Verdict.Kind, err, why)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	checkVerdict(t, r.Verdict, want)
	if log.Oopses[0].Panic != text(want.Panic) {
		t.Errorf("panic %q, want %q", log.Oopses[0].Panic, text(want.Panic))
	}
	t.Logf("%s (%s)\n\t%s\n\t%s", r.Verdict.Headline, r.Verdict.Confidence, r.Verdict.Detail, r.Signature)
}

func readTruth(t *testing.T, file string) (want truth) {
	t.Helper()
	if err := json.Unmarshal(read(t, file), &want); err != nil {
		t.Fatal(file, err)
	}
	return want
}

// checkVerdict compares a verdict with what is known of the crash.
func checkVerdict(t *testing.T, v Verdict, want truth) {
	t.Helper()
	if v.Kind != want.Kind || v.Title != want.Title {
		t.Errorf("kind %q, title %q", v.Kind, v.Title)
	}
	function, module := "", ""
	if v.Culprit != nil {
		function, module = v.Culprit.Function, v.Culprit.Module
	}
	if function != text(want.Culprit) || module != text(want.Module) {
		t.Errorf("culprit %q [%s], want %q [%s]", function, module, text(want.Culprit), text(want.Module))
	}
	if v.CPU == nil || *v.CPU != *want.CPU {
		t.Errorf("CPU %v, want %d", v.CPU, *want.CPU)
	}
	if v.Task == nil || v.Task.Comm != want.Comm || *v.Task.PID != *want.PID {
		t.Errorf("task %+v, want %s %d", v.Task, want.Comm, *want.PID)
	}
	if c, ok := contexts[want.Context]; ok && v.Context != c || !ok && string(v.Context) != want.Context {
		t.Errorf("context %q, want %q", v.Context, want.Context)
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestKindsElsewhere judges the same crashes as other kernels would have printed them: the verdict must not
// hang on the wordings of one release.
func TestKindsElsewhere(t *testing.T) {
	die := regexp.MustCompile(`(?m)^(\[ *[0-9.]+\] )((?:Oops|general protection|invalid opcode|divide error|stack guard page).*\[#1\].*)$`)
	taskMarks := regexp.MustCompile(`(?m)^\[ *[0-9.]+\]  </?TASK>\n`)
	warn := regexp.MustCompile(`WARNING: CPU: (\d+) PID: (\d+) at (\S+) (\S+ \[\w+\])`)
	for name, rewrite := range map[string]func(string) string{
		"5.10": func(s string) string { return taskMarks.ReplaceAllString(s, "") },
		"6.12": func(s string) string {
			s = strings.ReplaceAll(s, " PID: ", " UID: 0 PID: ")
			return die.ReplaceAllString(s, "${1}Oops: $2")
		},
		"7.2": func(s string) string {
			s = warn.ReplaceAllString(s, "WARNING: $3 at $4, CPU#$1: collect/$2")
			s = strings.ReplaceAll(s, " PREEMPT SMP", " SMP")
			return strings.ReplaceAll(s, "\n[", "\n<4>[")
		},
		"without stamps": func(s string) string {
			return regexp.MustCompile(`(?m)^\[ *[0-9.]+\] `).ReplaceAllString(s, "")
		},
	} {
		files, _ := filepath.Glob(kindsDir + "/*.dmesg.txt")
		for _, f := range files {
			before, _, err := Text(read(t, f))
			if err != nil {
				t.Fatal(err)
			}
			after, _, err := Text([]byte(rewrite(string(read(t, f)))))
			if err != nil {
				t.Errorf("%s as %s: %v", f, name, err)
				continue
			}
			a, b := before.Verdict, after.Verdict
			if a.Headline != b.Headline || a.Kind != b.Kind || before.Signature != after.Signature {
				t.Errorf("%s as %s: %s, want %s", filepath.Base(f), name, b.Headline, a.Headline)
			}
		}
	}
}
