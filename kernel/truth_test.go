package kernel_test

import (
	"bytes"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/vmcore"
)

const tiny = "../testdata/tiny"

func TestMain(m *testing.M) { dumptest.RunTests(m) }

// openKernel opens the kernel of a dump file.
func openKernel(t testing.TB, name string) *kernel.Kernel {
	t.Helper()
	d, err := vmcore.Open(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	k, err := kernel.Open(d, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// truth is what was recorded in a guest before it died.
type truth struct {
	*testing.T
	dir string
}

func (tr truth) text(name string) string {
	tr.Helper()
	b, err := os.ReadFile(filepath.Join(tr.dir, name))
	if err != nil {
		tr.Fatal(err)
	}
	return string(b)
}

// number is the first number behind a key in a file of /proc, NaN if there is none.
func (tr truth) number(file, key string) float64 {
	tr.Helper()
	_, rest, _ := strings.Cut(tr.text(file), key)
	words := strings.FieldsFunc(rest, func(c rune) bool { return strings.ContainsRune(" :\t\n/", c) })
	if len(words) == 0 {
		return math.NaN()
	}
	v, err := strconv.ParseFloat(words[0], 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

// log compares the log with that of kexec-tools' vmcore-dmesg.
func (tr truth) log(k *kernel.Kernel) {
	tr.Helper()
	got, err := k.LogText(tr.Context())
	if err != nil {
		tr.Error(err)
	}
	if diff := cmp.Diff(tr.text("vmcore-dmesg.txt"), string(got)); diff != "" {
		tr.Errorf("log (-vmcore-dmesg +kautopsy):\n%.2000s", diff)
	}
	tr.Logf("log: %d bytes, equal to vmcore-dmesg's: %t", len(got), !tr.Failed())
}

// symbols compares the symbols with /proc/kallsyms: those of the kernel in order, those of
// modules as a set. What BPF programs and the like add behind the modules is in no table.
func (tr truth) symbols(k *kernel.Kernel) {
	tr.Helper()
	all, err := k.AllSymbols(tr.Context())
	if err != nil {
		tr.Error(err)
	}
	var got [2][]string
	for s := range all.All() {
		n := min(1, len(s.Module))
		got[n] = append(got[n], s.String())
	}
	want := tr.kallsyms()
	if diff := firstDifference(want[0], got[0]); diff != "" {
		tr.Errorf("symbols of the kernel: %s", diff)
	}
	slices.Sort(got[1])
	slices.Sort(want[1])
	if diff := firstDifference(want[1], got[1]); diff != "" {
		tr.Errorf("symbols of modules: %s", diff)
	}
	tr.Logf("symbols: %d of the kernel, %d of modules", len(got[0]), len(got[1]))
}

// kallsyms reads /proc/kallsyms: the lines of the kernel and those of modules.
func (tr truth) kallsyms() (lines [2][]string) {
	tr.Helper()
	b, err := os.ReadFile(dumptest.Unpacked(tr, filepath.Join(tr.dir, "kallsyms.xz")))
	if err != nil {
		tr.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		switch _, module, _ := strings.Cut(line, "\t["); module {
		case "":
			lines[0] = append(lines[0], line)
		case "bpf]", "__builtin__ftrace]", "__builtin__kprobes]":
		default:
			lines[1] = append(lines[1], line)
		}
	}
	return lines
}

// firstDifference tells where two lists begin to differ, "" if they do not.
func firstDifference(want, got []string) string {
	for i, w := range want {
		if i >= len(got) {
			return "ends before " + w
		}
		if w != got[i] {
			return strconv.Itoa(i) + ": have " + got[i] + ", want " + w
		}
	}
	if len(got) > len(want) {
		return "goes on with " + got[len(want)]
	}
	return ""
}

// system compares the banner: what is static exactly, what changes until the crash nearly.
func (tr truth) system(k *kernel.Kernel) {
	tr.Helper()
	s := k.System(tr.Context())
	for _, m := range s.Missing {
		tr.Errorf("missing: %s: %s", m.What, m.Why)
	}
	tr.machine(s)
	if mhz := tr.number("cpuinfo", "cpu MHz"); mhz > 0 && math.Abs(float64(s.MHz)-mhz) > 10 {
		tr.Errorf("%d MHz, want %f", s.MHz, mhz)
	}
	if n := tr.number("loadavg", "/"); math.Abs(float64(s.Tasks)-n) > 10 {
		tr.Errorf("%d tasks, want about %f", s.Tasks, n)
	}
	if n := tr.number("loadavg", ""); len(s.Load) != 3 || math.Abs(s.Load[0]-n) > 0.5 {
		tr.Errorf("load %v, want about %f", s.Load, n)
	}
	if s.Taint == nil || uint64(tr.number("tainted", ""))&^*s.Taint != 0 {
		tr.Errorf("taint %v, want %s", s.Taint, tr.text("tainted"))
	}
	boot := s.Date.Add(-s.Uptime).Unix()
	if d := float64(boot) - tr.number("proc-stat", "btime"); math.Abs(d) > 5 {
		tr.Errorf("up %v at %v: booted %f s too late", s.Uptime, s.Date, d)
	}
	tr.Logf("system: %s, %d CPUs, %d MHz, up %v, %d tasks, load %v, %d KiB", s.Release, s.CPUs, s.MHz, s.Uptime, s.Tasks, s.Load, s.Memory>>10)
}

// machine compares what needs no variables of the kernel.
func (tr truth) machine(s kernel.System) {
	tr.Helper()
	if got := strings.Join([]string{s.Sysname, s.Nodename, s.Release, s.Version, s.Machine, "GNU/Linux\n"}, " "); got != tr.text("uname") {
		tr.Errorf("uname %q, want %q", got, tr.text("uname"))
	}
	if n := strings.Count(tr.text("cpuinfo"), "processor\t"); s.CPUs != n {
		tr.Errorf("%d CPUs, want %d", s.CPUs, n)
	}
	if up := s.Uptime.Seconds() - tr.number("uptime", ""); up < 0 || up > 60 {
		tr.Errorf("uptime %v, recorded %f", s.Uptime, tr.number("uptime", ""))
	}
	if ram := float64(s.Memory) / 1024; ram < tr.number("meminfo", "MemTotal") || ram > 4*tr.number("meminfo", "MemTotal") {
		tr.Errorf("memory of %f KiB", ram)
	}
}

// buildID compares VMCOREINFO's build id with that of the kernel's notes.
func (tr truth) buildID(k *kernel.Kernel) {
	tr.Helper()
	info, err := k.Info()
	if err != nil {
		tr.Fatal(err)
	}
	id, err := hex.DecodeString(info.BuildID())
	if err != nil || len(id) != 20 || !bytes.Contains([]byte(tr.text("notes.bin")), append([]byte("GNU\x00"), id...)) {
		tr.Errorf("build id %q is not in the kernel's notes", info.BuildID())
	}
}

// translation compares the rule of the image with the page tables, symbol by symbol.
func (tr truth) translation(k *kernel.Kernel) {
	tr.Helper()
	table, err := k.Symbols()
	if err != nil {
		tr.Fatal(err)
	}
	space, err := k.Space()
	if err != nil {
		tr.Fatal(err)
	}
	n, compared, unmapped := 0, 0, 0
	for s := range table.All() {
		if n++; n%101 != 0 || s.Type == 'A' || s.Type == 'a' {
			continue
		}
		a, err := k.Translate(s.Addr)
		w, werr := space.Walk(s.Addr)
		switch {
		case werr != nil: // init memory is given back
			unmapped++
		case err != nil || w.Addr != a:
			tr.Errorf("%v: %#x by rule, %v, %#x by the tables", s, uint64(a), err, uint64(w.Addr))
		default:
			compared++
		}
	}
	if compared < 100 || compared < 2*unmapped {
		tr.Errorf("%d symbols compared, %d not mapped", compared, unmapped)
	}
	tr.Logf("translation: %d symbols, %d not mapped", compared, unmapped)
}

// modules compares the list of modules with /proc/modules.
func (tr truth) modules(k *kernel.Kernel) {
	tr.Helper()
	mods, err := k.Modules(tr.Context())
	if err != nil {
		tr.Error(err)
	}
	var got, want []string
	for _, m := range mods {
		got = append(got, m.Name)
	}
	for line := range strings.Lines(tr.text("modules")) {
		want = append(want, strings.Fields(line)[0])
	}
	if !slices.Equal(got, want) {
		tr.Errorf("modules %v, want %v", got, want)
	}
}

// all compares everything.
func (tr truth) all(k *kernel.Kernel) {
	tr.Helper()
	tr.log(k)
	tr.symbols(k)
	tr.modules(k)
	tr.system(k)
	tr.buildID(k)
	tr.translation(k)
}
