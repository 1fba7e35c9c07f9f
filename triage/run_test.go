package triage

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/oops"
	"github.com/kautopsy/kautopsy/phys"
)

func TestMain(m *testing.M) { dumptest.RunTests(m) }

func run(t *testing.T, k *kernel.Kernel) *Report {
	t.Helper()
	r, err := Run(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func finding(r *Report, id string) *Finding {
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.ID == id })
	if i < 0 {
		return nil
	}
	return &r.Findings[i]
}

// reliable are the frames of the first call trace of a log behind its report, without those
// that are marked as unsure.
func reliable(log, behind string) (out []string) {
	frame := regexp.MustCompile(`^\[[^]]*\]  ([a-zA-Z_][\w.]*\+0x[0-9a-f]+/0x[0-9a-f]+(?: \[\w+\])?)`)
	_, log, _ = strings.Cut(log, behind)
	_, log, _ = strings.Cut(log, "Call ") // Trace, trace
	for line := range strings.Lines(log) {
		if m := frame.FindStringSubmatch(line); m != nil {
			out = append(out, m[1])
		} else if !strings.Contains(line, "<") && !strings.Contains(line, " ? ") && len(out) > 0 {
			return out
		}
	}
	return out
}

// TestGuests: the verdict on real dumps, the stack against the log's call trace, who waits
// for whom.
func TestGuests(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		r := run(t, g.Kernel)
		kind, behind := oops.SysRq, "sysrq triggered crash"
		if g.Name == "tiny" {
			kind, behind = oops.NullDereference, "BUG: kernel NULL pointer"
		} else if pid := g.Recorder(t); r.Verdict.Task == nil || *r.Verdict.Task.PID != pid || r.Verdict.Task.Task == nil {
			t.Errorf("task %+v, not %d", r.Verdict.Task, pid)
		}
		if v := r.Verdict; v.Kind != kind || v.Confidence != Sure || v.CPU == nil || *v.CPU != 0 {
			t.Errorf("verdict %+v", v)
		}
		if len(r.Missing) > 0 {
			t.Error("missing", r.Missing)
		}
		if f := finding(r, "witnesses"); f == nil && g.Name != "arm64" {
			t.Error("the witnesses do not agree")
		}
		sameTrace(t, g, r, behind)
		tasks := 0
		for _, s := range r.Stacks {
			tasks += s.Count
		}
		if tasks < 100 || len(r.CPUs) != 2 {
			t.Errorf("stacks of %d tasks, %d CPUs", tasks, len(r.CPUs))
		}
		want := map[string]string{"w-vfork": "w-vfork-child", "w-flock-wait": "w-flock-hold", "w-posix-wait": "w-posix-hold"}
		for _, b := range r.Blocked {
			if w, ok := want[b.Comm]; !ok || len(b.Owners) != 1 || b.Owners[0].Comm != w || len(b.Frames) == 0 {
				t.Errorf("%s waits for %s, owners %v", b.Comm, b.WaitsOn, b.Owners)
			}
		}
		if len(r.Blocked) != len(want) {
			t.Errorf("%d tasks are blocked", len(r.Blocked))
		}
	})
}

// sameTrace compares the stack with the log's call trace, from where both have left the
// functions that made them.
func sameTrace(t *testing.T, g guesttest.Guest, r *Report, behind string) {
	t.Helper()
	log := g.Truth(t, map[bool]string{true: "console.txt", false: "vmcore-dmesg.txt"}[g.Name == "arm64"])
	want := reliable(strings.ReplaceAll(log, "\r", ""), behind)
	// A call that does not return is the last of its function, and arm64 names what is behind it.
	want = slices.DeleteFunc(want, func(f string) bool { return strings.Contains(f, "+0x0/") })
	from := slices.IndexFunc(want, func(f string) bool { return strings.HasPrefix(f, "panic+") }) + 1
	var got []string
	for _, f := range r.Panic.Trace {
		text := fmt.Sprintf("%s+%#x", f.Symbol, *f.Offset)
		got = append(got, text)
	}
	for i := range want {
		want[i], _, _ = strings.Cut(want[i], "/")
	}
	want = want[from:]
	at := slices.Index(got, want[0])
	if len(want) < 4 || at < 0 || len(got)-at < len(want) || !slices.Equal(got[at:at+len(want)], want) {
		t.Errorf("stack\n%s\nlog\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestWithoutLog: a dump whose log is lost is judged by the stack.
func TestWithoutLog(t *testing.T) {
	k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
		for _, name := range []string{"prb", "printk_rb_static"} {
			if s, err := k.Symbol(name); err == nil {
				m.Lose(s.Addr)
			}
		}
	})
	r := run(t, k)
	v := r.Verdict
	if v.Kind != oops.NullDereference || v.Confidence != Likely || v.Culprit == nil || v.Culprit.Function != "ck_null_work" ||
		v.Culprit.Module != "crashkit" || v.Task.Comm != "kworker/0:1" || *v.CPU != 0 || v.Context != Workqueue {
		t.Errorf("%+v, culprit %+v", v, v.Culprit)
	}
	if r.Signature != "null-dereference-1b88232b" || finding(r, "no-report") == nil || len(r.Missing) == 0 {
		t.Error(r.Signature, r.Findings, r.Missing)
	}
}

// TestWithoutTypes: a dump whose types are lost keeps the log's verdict and the stack of the
// CPU that crashed.
func TestWithoutTypes(t *testing.T) {
	k := guesttest.Open(t, "../testdata/tiny/vmcore.split.1")
	r := run(t, k)
	if v := r.Verdict; v.Kind != oops.NullDereference || v.Culprit == nil || v.Culprit.Function != "ck_null_work" {
		t.Errorf("%+v", v)
	}
	if len(r.Blocked) != 0 || len(r.Stacks) != 0 {
		t.Error("tasks without types")
	}
	i := slices.IndexFunc(r.Missing, func(m Missing) bool { return m.What == "tasks" })
	if i < 0 || phys.Reason(r.Missing[i].Err) != phys.ErrExcluded || len(r.Panic.Trace) == 0 || r.Panic.Trace[0].SP == nil {
		t.Errorf("%v, trace %v", r.Missing, r.Panic.Trace)
	}
}

// TestOtherCPU: where memory disagrees with the log on who crashed, it is told.
func TestOtherCPU(t *testing.T) {
	k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
		s, err := k.Symbol("panic_cpu")
		if err != nil {
			t.Fatal(err)
		}
		m.Put(s.Addr, []byte{1, 0, 0, 0})
	})
	r := run(t, k)
	if f := finding(r, "disagreement"); f == nil || len(f.Evidence) < 3 {
		t.Errorf("%+v", r.Findings)
	}
	if v := r.Verdict; v.Kind != oops.NullDereference || v.Culprit.Function != "ck_null_work" {
		t.Errorf("%+v", v)
	}
}

// TestLab judges the dumps of every way to crash that the lab made: KAUTOPSY_LAB is its
// LAB_OUT.
func TestLab(t *testing.T) {
	lab := os.Getenv("KAUTOPSY_LAB")
	if lab == "" {
		t.Skip("KAUTOPSY_LAB is not set: make lab KERNELS='kinds kinds-6.12' makes the dumps")
	}
	files, _ := filepath.Glob(filepath.Join(lab, "kinds*", "*", "verdict.json"))
	if len(files) == 0 {
		t.Fatalf("no verdicts below %s", lab)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(filepath.Dir(dir))+"/"+filepath.Base(dir), func(t *testing.T) {
			checkDump(t, dir, readTruth(t, file))
		})
	}
}

func checkDump(t *testing.T, dir string, want truth) {
	r := run(t, guesttest.Open(t, filepath.Join(dir, "vmcore.zstd")))
	checkVerdict(t, r.Verdict, want)
	if len(r.Missing) > 0 || finding(r, "witnesses") == nil || len(r.Panic.Trace) == 0 || r.Panic.Trace[0].SP == nil {
		t.Errorf("missing %v, findings %v, trace %v", r.Missing, r.Findings, r.Panic.Trace)
	}
	checkCode(t, r, want)
	switch want.Case {
	case "abba":
		checkDeadlock(t, r)
	case "spindead":
		if len(r.Locks) != 1 || r.Locks[0].Kind != "spinlock" || r.Locks[0].Symbol != "ck_spin [crashkit]" {
			t.Errorf("locks %+v", r.Locks)
		}
	case "stackoverflow":
		if f := finding(r, "stack-use"); f == nil || !strings.HasPrefix(f.Title, "ck_recurse [crashkit] took 1") {
			t.Errorf("%+v", f)
		}
	case "gpf":
		if !strings.Contains(r.Verdict.Detail, "0xdead4ead00000130") {
			t.Error(r.Verdict.Detail)
		}
	case "null-timer", "null-ipi":
		if i := slices.IndexFunc(r.Panic.Trace, func(f Frame) bool { return f.Kind == "irq" }); i < 1 || r.Panic.Trace[i+1].Kind != "interrupted" {
			t.Errorf("no interrupt in %+v", r.Panic.Trace)
		}
		if !strings.Contains(r.Verdict.Detail, want.Comm+" was only interrupted and is not to blame") {
			t.Error(r.Verdict.Detail)
		}
	case "uaf":
		f := finding(r, "freed-object")
		if f == nil || len(f.Evidence) < 2 || !strings.Contains(r.Verdict.Detail, "it was an object of slab cache crashkit_item") {
			t.Errorf("%s, %+v", r.Verdict.Detail, f)
		}
	case "doublefree":
		if !strings.Contains(r.Verdict.Detail, "was free already") {
			t.Error(r.Verdict.Detail)
		}
	case "listcorrupt":
		if f := finding(r, "list-entries"); f == nil || len(f.Evidence) != 2 {
			t.Errorf("%+v", f)
		}
	case "oom":
		if !strings.Contains(r.Verdict.Detail, " MiB are in no account") {
			t.Error(r.Verdict.Detail)
		}
	case "softlockup", "rcustall":
		if f := finding(r, "held-cpu"); f == nil || !strings.HasSuffix(f.Title, "interrupts on") {
			t.Errorf("%+v", f)
		}
	}
}

// operands are what the instruction at the fault was about, by the source of crashkit.
var operands = map[string]string{
	"null-process": "[rax], rax = 0 ([ck_nullptr]) → NULL",
	"null-timer":   "[rax], rax = 0 ([ck_nullptr]) → NULL",
	"null-work":    "[rax], rax = 0 ([ck_nullptr]) → NULL",
	"null-ipi":     "[rax], rax = 0 ([ck_nullptr]) → NULL",
	"null-offset":  "[rax+0x30], rax = 0 ([ck_nullptr]) → NULL + 0x30",
	"gpf":          "[0xdead4ead00000130]",
	"uaf":          "[rdi+0x38], rdi = 0xa56b6b6b6b6b6b6b → 0xa56b6b6b6b6b6ba3",
	"divide":       "divides by rcx = 0 ([ck_zero])",
	"badrip-null":  "calls rax = 0 ([ck_nullptr])",
	"badrip-wild":  "calls rax = 0xffffffff00bad000",
}

// stoppedAt are the instructions that stop without an operand.
var stoppedAt = map[string]string{
	"bug": "ud2", "warn": "ud2", "listcorrupt": "ud2", "doublefree": "ud2", "stackoverflow": "rep stos", "softlockup": "jmp",
}

func checkCode(t *testing.T, r *Report, want truth) {
	t.Helper()
	i := slices.IndexFunc(r.Panic.Code, func(in Instruction) bool { return in.Fault })
	text, operand := "", ""
	if i >= 0 {
		if text = r.Panic.Code[i].Text; r.Panic.Code[i].Operand != nil {
			operand = r.Panic.Code[i].Operand.Text
		}
	}
	if at := operands[want.Case]; at != "" && operand != at {
		t.Errorf("%q is about %q, want %q", text, operand, at)
	}
	if !strings.HasPrefix(text, stoppedAt[want.Case]) {
		t.Errorf("stopped at %q, want %q", text, stoppedAt[want.Case])
	}
	if _, asked := stoppedAt[want.Case]; !asked && operands[want.Case] == "" && operand != "" {
		t.Errorf("%s is about %q", text, operand)
	}
}

func checkDeadlock(t *testing.T, r *Report) {
	t.Helper()
	f := finding(r, "deadlock")
	if f == nil || f.Severity != Cause || len(f.Evidence) != 2 || len(r.Locks) != 2 {
		t.Fatalf("%+v, locks %+v", f, r.Locks)
	}
	for _, want := range []string{"ck-abba-one", "ck-abba-two", "mutex ck_lock_a [crashkit]", "mutex ck_lock_b [crashkit]"} {
		if !strings.Contains(r.Verdict.Detail, want) {
			t.Errorf("no %s in %s", want, r.Verdict.Detail)
		}
	}
}
