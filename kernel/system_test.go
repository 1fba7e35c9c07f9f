package kernel_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// utsname is six texts of 65 bytes.
func utsname(texts ...string) []byte {
	b := make([]byte, 6*65)
	for i, s := range texts {
		copy(b[i*65:], s)
	}
	return b
}

var named = utsname("Linux", "a-host", release, "#1 SMP", "x86_64", "(none)")

// withBanner puts all that System reads into a machine.
func withBanner(m *machine) (at map[string]uint64) {
	at = map[string]uint64{}
	for name, b := range map[string][]byte{
		"avenrun":           slices.Concat(m.long(1<<11), m.long(1<<10), m.long(3<<11|512)),
		"nr_threads":        m.u32(117),
		"nr_cpu_ids":        m.u32(70),
		"__cpu_online_mask": slices.Concat(m.long(0b1011), m.long(1<<5)),
		"cpu_khz":           m.u32(2400123),
		"tainted_mask":      m.long(1<<12 | 1<<13),
	} {
		m.pages(1) // each on its own page, so that it can be lost alone
		at[name] = m.variable(name, b)
	}
	m.emptyModules()
	m.pages(1)
	at["init_uts_ns"] = m.object(append(m.u32(3), named...))
	m.symbol("init_uts_ns", at["init_uts_ns"])
	m.info.WriteString("CRASHTIME=1795271205\nBUILD-ID=9875c4d1ce003bc2542fef8bb2a3088693255c7a\n")
	m.pages(1)
	r := newPRB(m, prb510, 4, 12, 0)
	r.add(line{ns: 5, text: "Memory: 293444K/523744K available (12K kernel code)"})
	r.add(line{ns: 17e9, text: "Kernel panic"})
	r.add(line{ns: 16e9, text: "a clock that lags"})
	at["prb"] = r.ring
	m.kallsyms()
	return at
}

// TestSystem reads a whole banner.
func TestSystem(t *testing.T) {
	m := newMachine(t)
	withBanner(m)
	s := m.kernel().System(t.Context())
	taint := *s.Taint
	s.Taint = nil
	want := kernel.System{
		Utsname: vmcore.Utsname{Sysname: "Linux", Nodename: "a-host", Release: release, Version: "#1 SMP", Machine: "x86_64", Domainname: "(none)"},
		BuildID: "9875c4d1ce003bc2542fef8bb2a3088693255c7a", CPUs: 4, Date: time.Unix(1795271205, 0).UTC(), Uptime: 17 * time.Second,
		Load: []float64{1, 0.5, 3.25}, Tasks: 117 + 4, Memory: 523744 << 10, MHz: 2400,
	}
	if got := fmt.Sprintf("%+v", s); got != fmt.Sprintf("%+v", want) || taint != 0x3000 {
		t.Errorf("system\n%s, taint %#x, want\n%+v", got, taint, want)
	}
}

// TestSystemMissing takes one thing away at a time: it is told what, and why, and the rest
// stays.
func TestSystemMissing(t *testing.T) {
	tests := []struct {
		lose, what string
		gone       func(s kernel.System) bool
	}{
		{"avenrun", "load", func(s kernel.System) bool { return s.Load == nil }},
		{"nr_threads", "tasks", func(s kernel.System) bool { return s.Tasks == 0 }},
		{"nr_cpu_ids", "processors online", func(s kernel.System) bool { return s.CPUs == 0 }},
		{"__cpu_online_mask", "processors online", func(s kernel.System) bool { return s.CPUs == 0 }},
		{"cpu_khz", "clock rate", func(s kernel.System) bool { return s.MHz == 0 }},
		{"tainted_mask", "taint flags", func(s kernel.System) bool { return s.Taint == nil }},
		{"prb", "uptime and memory", func(s kernel.System) bool { return s.Uptime == 0 }},
	}
	for _, tt := range tests {
		m := newMachine(t)
		m.lose(withBanner(m)[tt.lose])
		s := m.kernel().System(t.Context())
		if len(s.Missing) != 1 || s.Missing[0].What != tt.what || phys.Reason(s.Missing[0].Err) != phys.ErrLost || !tt.gone(s) {
			t.Errorf("without %s: %+v", tt.lose, s)
		}
		if !kernel.Damaged(s.Missing) || s.Release != release {
			t.Errorf("without %s: release %q, damaged %t", tt.lose, s.Release, kernel.Damaged(s.Missing))
		}
	}
}

// TestSystemWithoutSymbols: what VMCOREINFO and the log tell is there.
func TestSystemWithoutSymbols(t *testing.T) {
	m := newMachine(t)
	m.lose(withBanner(m)["nr_threads"])
	m.lose(m.next - 1)
	s := m.kernel().System(t.Context())
	if s.Release != release || s.Uptime != 17*time.Second || s.Load != nil || s.Tasks != 0 {
		t.Errorf("system %+v", s)
	}
	if len(s.Missing) != 1 || s.Missing[0].What != "symbols" {
		t.Errorf("missing %+v", s.Missing)
	}
}

// TestSystemNonsense: values that cannot be are told, and not shown.
func TestSystemNonsense(t *testing.T) {
	m := newMachine(t)
	at := withBanner(m)
	m.put(at["nr_threads"], m.u32(1<<30))
	m.put(at["nr_cpu_ids"], m.u32(0))
	s := m.kernel().System(t.Context())
	if s.Tasks != 0 || s.CPUs != 0 || len(s.Missing) != 2 || !kernel.Damaged(s.Missing) {
		t.Errorf("system %+v", s)
	}
}

// TestSystemNoKernel: a dump of a machine that runs none has no kernel's name.
func TestSystemNoKernel(t *testing.T) {
	m := newMachine(t)
	m.info.Reset()
	m.arch = "riscv32"
	k := m.kernel()
	s := k.System(context.Background())
	if len(s.Missing) == 0 || s.Tasks != 0 || s.Load != nil {
		t.Errorf("system %+v", s)
	}
	if _, err := k.Info(); err == nil || !strings.Contains(err.Error(), "--vmcoreinfo") {
		t.Errorf("info: %v", err)
	}
}

// TestUtsname: the name stands where VMCOREINFO says, else behind a reference count, else
// at once; a place that does not hold the kernel's release is not believed.
func TestUtsname(t *testing.T) {
	tests := []struct {
		name   string
		object []byte
		offset int // of VMCOREINFO, -1 for none
		node   string
	}{
		{"behind a count, not said", append(make([]byte, 4), named...), -1, "a-host"},
		{"at once, not said", named, -1, "a-host"},
		{"at once, said", named, 0, "a-host"},
		{"said", append(make([]byte, 24), named...), 24, "a-host"},
		{"said wrongly", append(make([]byte, 4), named...), 8, "dumptest"},
		{"another release", utsname("Linux", "b-host", "4.9"), -1, "dumptest"},
	}
	for _, tt := range tests {
		m := newMachine(t)
		m.symbol("init_uts_ns", m.object(tt.object))
		if tt.offset >= 0 {
			m.offset("uts_namespace.name", tt.offset)
		}
		u, err := m.kernel().Utsname()
		if u.Nodename != tt.node || err != nil {
			t.Errorf("%s: %+v, %v, want node %s", tt.name, u, err, tt.node)
		}
	}
}

// TestUtsnameFromInfo: a dump whose header has no name has VMCOREINFO's.
func TestUtsnameFromInfo(t *testing.T) {
	m := newMachine(t)
	m.symbol("init_uts_ns", x86Image+3<<20)
	d := openDump(t, m.file())
	d.Header.Utsname = vmcore.Utsname{}
	k, err := kernel.Open(d, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := vmcore.Utsname{Release: release, Machine: "x86_64"}
	if u, err := k.Utsname(); u != want || err != nil {
		t.Errorf("%+v, %v, want %+v", u, err, want)
	}
}

// TestCPUMask: the mask is an array of longs under two names.
func TestCPUMask(t *testing.T) {
	for _, name := range []string{"__cpu_online_mask", "cpu_online_bits"} {
		m := newMachine(t)
		m.variable("nr_cpu_ids", m.u32(128))
		m.variable(name, slices.Concat(m.long(^uint64(0)), m.long(7)))
		m.kallsyms()
		if got := m.kernel().CPUs(); got != 67 {
			t.Errorf("%s: %d CPUs, want 67", name, got)
		}
	}
}

// TestOpenCanceled: a scan for VMCOREINFO ends with its context.
func TestOpenCanceled(t *testing.T) {
	m := newMachine(t)
	m.info.Reset()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if k, err := kernel.Open(m.dump(), &kernel.Options{Context: ctx}); k != nil || err == nil {
		t.Errorf("kernel %v, %v", k, err)
	}
}
