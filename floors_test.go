package kautopsy_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/kautopsy/kautopsy/"

// floor of each package: a package imports only packages of lower floors, so siblings do
// not import each other.
var floor = map[string]int{
	"phys":         0,
	"internal/bin": 1, "internal/codec": 1, "internal/arch": 2, "internal/elfnote": 2,
	"diskdump": 3, "elfcore": 3, "symbols": 3, "oops": 3, "crashshell": 3,
	"symbols/disasm": 4, "symbols/dwarf": 4, "vmcore": 4,
	"kernel": 5, "symbols/debuginfo": 5, "symbols/dataflow": 5,
	"kernel/code":     6,
	"oops/decode":     5,
	"kernel/device":   6,
	"kernel/ipc":      6,
	"kernel/lock":     6,
	"kernel/mm":       6,
	"kernel/network":  6,
	"kernel/sched":    6,
	"kernel/stacks":   6,
	"kernel/vfs":      6,
	"symbols/objtool": 6,
	"triage":          7,
	"cmd/kautopsy":    8,
}

// forTests may be imported by tests of any floor and by nothing else.
var forTests = []string{"internal/dumptest", "internal/golden", "internal/guesttest"}

// goList runs the Go tool, which whoever runs this test has.
func goList(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// TestFloors holds the house together: imports go down only.
func TestFloors(t *testing.T) {
	for _, line := range goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...") {
		words := strings.Fields(line)
		pkg := strings.TrimPrefix(words[0], module)
		if words[0] == strings.TrimSuffix(module, "/") || slices.Contains(forTests, pkg) {
			continue
		}
		at, known := floor[pkg]
		if !known {
			t.Errorf("package %s has no floor", pkg)
		}
		for _, imp := range words[1:] {
			dep, ours := strings.CutPrefix(imp, module)
			if !ours {
				continue
			}
			if below, ok := floor[dep]; !ok || below >= at {
				t.Errorf("%s (floor %d) imports %s (floor %d)", pkg, at, dep, below)
			}
		}
	}
}

// TestLibraryStaysSmall: an importer of the library gets no flags, terminals, network or
// processes with it.
func TestLibraryStaysSmall(t *testing.T) {
	forbidden := []string{
		"net", "net/http", "os/exec", "plugin", "runtime/cgo", "flag", "log/slog", "html/template",
		"github.com/spf13/pflag", "github.com/google/pprof/driver", "golang.org/x/term", "golang.org/x/sys/unix",
	}
	for _, dep := range goList(t, "-deps", "./triage") {
		if slices.Contains(forbidden, dep) {
			t.Errorf("triage depends on %s", dep)
		}
	}
	allowed := []string{module, "github.com/klauspost/compress", "github.com/ulikunitz/xz", "golang.org/x/arch", "golang.org/x/sys/cpu"}
	for _, dep := range goList(t, "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./triage") {
		if dep != "" && !slices.ContainsFunc(allowed, func(p string) bool { return strings.HasPrefix(dep, p) }) {
			t.Errorf("triage depends on %s, which nobody agreed to", dep)
		}
	}
}

// TestOopsIsStandardLibraryOnly: the text parser can be taken alone.
func TestOopsIsStandardLibraryOnly(t *testing.T) {
	for _, dep := range goList(t, "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./oops") {
		if dep != "" && dep != module+"oops" {
			t.Errorf("oops depends on %s", dep)
		}
	}
}
