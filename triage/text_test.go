package triage

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/oops"
)

// TestLogs judges whole logs of other kernels than the one of the kinds.
func TestLogs(t *testing.T) {
	for file, want := range map[string]string{
		"5.10-console.txt":      "sysrq: crash asked for through SysRq by collect (241) on CPU 0, sure",
		"6.12-dmesg.txt":        "sysrq: crash asked for through SysRq by collect (307) on CPU 0, sure",
		"7.2-console.txt":       "sysrq: crash asked for through SysRq by collect (264) on CPU 0, sure",
		"arm64-6.1-console.txt": "sysrq: crash asked for through SysRq by collect (203) on CPU 0, sure",
		"tiny-6.12-dmesg.txt": "null-dereference: NULL pointer dereference in ck_null_work [crashkit], " +
			"work item of crashkit_wq on CPU 0, sure",
	} {
		r, _, err := Text(read(t, filepath.Join("../oops/testdata/logs", file)))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%s: %s, %s", r.Verdict.Kind, r.Verdict.Headline, r.Verdict.Confidence); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
}

// report is a minimal oops of x86-64 with the given lines in it.
func report(title, pc, trace string) string {
	return title + "\nCPU: 1 PID: 42 Comm: sh Not tainted 6.1.0 #1\nRIP: 0010:" + pc + "\nCall Trace:\n" + trace + "\n"
}

const nullTitle = "BUG: kernel NULL pointer dereference, address: 0000000000000008\nOops: 0000 [#1] SMP"

// TestCulprits judges traces of forms that the recorded crashes do not have.
func TestCulprits(t *testing.T) {
	for _, c := range []struct {
		name, text, function, module string
		confidence                   Confidence
		context                      Context
	}{
		{
			"lock of a NULL structure",
			report(nullTitle, "_raw_spin_lock_irqsave+0x23/0x50", " drv_irq+0x10/0x20 [drv]\n vfs_write+0x1/0x2"),
			"drv_irq", "drv", Sure, Process,
		},
		{
			"memcpy", report(nullTitle, "memcpy_orig+0x1e/0x140", " drv_copy.constprop.0+0x10/0x20 [drv]\n kthread+0x1/0x2"),
			"drv_copy", "drv", Sure, KThread,
		},
		{
			"a leftover before the caller",
			report(nullTitle, "kfree+0x5/0x100", " ? other+0x1/0x2 [o]\n drv_free+0x10/0x20 [drv]"),
			"drv_free", "drv", Sure, "",
		},
		{
			"nothing but plumbing", report(nullTitle, "process_one_work+0x5/0x100", " worker_thread+0x1/0x2\n kthread+0x1/0x2"),
			"process_one_work", "", Likely, Workqueue,
		},
		{
			"softirq of 3.10, without marks behind the interrupt",
			report(nullTitle, "kfree+0x5/0x100", " <IRQ>  [<ffffffff81>] __do_softirq+0x1/0x2\n [<ffffffff82>] irq_exit+0x1/0x2\n"+
				" <EOI>  [<ffffffff83>] innocent+0x1/0x2 [inn]"),
			"kfree", "", Likely, SoftIRQ,
		},
		{
			"arm64 timer, no marks",
			"Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000\nCPU: 0 PID: 9 Comm: cat Not tainted 6.1.0 #1\n" +
				"pc : drv_tick+0x4/0x8 [drv]\nlr : call_timer_fn+0x38/0x1e0\nCall trace:\n drv_tick+0x4/0x8 [drv]\n call_timer_fn+0x38/0x1e0\n" +
				" el1h_64_irq+0x64/0x68\n innocent+0x8/0x10",
			"drv_tick", "drv", Sure, Timer,
		},
		{
			"arm64 call of NULL",
			"Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000\n  ESR = 0x0000000086000004\n" +
				"CPU: 0 PID: 9 Comm: cat Not tainted 6.1.0 #1\npc : 0x0\nlr : drv_call+0x38/0x1e0 [drv]\nCall trace:\n 0x0\n chrdev_open+0x1/0x2",
			"drv_call", "drv", Sure, "",
		},
		{
			"panic in a fault whose report is lost",
			"Kernel panic - not syncing: Fatal exception\nCPU: 0 PID: 9 Comm: cat Not tainted 6.1.0 #1\nCall Trace:\n <TASK>\n panic+0x1/0x2\n" +
				" oops_end+0x1/0x2\n page_fault_oops+0x1/0x2\n exc_page_fault+0x1/0x2\n asm_exc_page_fault+0x1/0x2\n" +
				"RIP: 0010:drv_bad+0x5/0x10 [drv]\n vfs_read+0x1/0x2\n </TASK>",
			"drv_bad", "drv", Sure, Process,
		},
		{
			"out of memory in a page fault",
			"java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\nCPU: 0 PID: 9 Comm: java Not tainted 6.1.0 #1\n" +
				"Call Trace:\n dump_stack_lvl+0x1/0x2\n filemap_fault+0x1/0x2\n ext4_filemap_fault+0x1/0x2\n handle_mm_fault+0x1/0x2\n exc_page_fault+0x1/0x2",
			"", "", Sure, "",
		},
		{
			"soft lockup in user space",
			"BUG: soft lockup - CPU#1 stuck for 22s! [qemu:9]\nCPU: 1 PID: 9 Comm: qemu Not tainted 6.1.0 #1\nRIP: 0033:0x7f0000001234",
			"", "", Likely, "",
		},
		{
			"RCU stall of 5.10, seen from the tick",
			"INFO: rcu_sched self-detected stall on CPU\n\t1-....: (1 ticks this GP)\nNMI backtrace for cpu 1\n" +
				"CPU: 1 PID: 9 Comm: x Not tainted 5.10.0 #1\nCall Trace:\n <IRQ>\n dump_stack+0x1/0x2\n update_process_times+0x1/0x2\n" +
				" sysvec_apic_timer_interrupt+0x1/0x2\n </IRQ>\n asm_sysvec_apic_timer_interrupt+0x1/0x2\nRIP: 0010:drv_spin+0x13/0x20 [drv]\n kthread+0x1/0x2",
			"drv_spin", "drv", Sure, KThread,
		},
		{
			"one hung task",
			"INFO: task mount:9 blocked for more than 120 seconds.\nmount D ffff880000000000 0 9 8 0x0\nCall Trace:\n [<ffffffff81>] schedule+0x1/0x2\n" +
				" [<ffffffff82>] rwsem_down_write_slowpath+0x1/0x2\n [<ffffffff83>] fs_mount+0x1/0x2 [fs]",
			"fs_mount", "fs", Likely, "",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _, err := Text([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			v, got := r.Verdict, Culprit{}
			if v.Culprit != nil {
				got = *v.Culprit
			}
			if got.Function != c.function || got.Module != c.module || v.Confidence != c.confidence || v.Context != c.context {
				t.Errorf("%s [%s] %s, context %q; %s", got.Function, got.Module, v.Confidence, v.Context, v.Headline)
			}
		})
	}
}

// TestBlameless: who ran on the CPU is said to be interrupted, or to run what others queued.
func TestBlameless(t *testing.T) {
	const head = nullTitle + "\nCPU: 0 PID: 9 Comm: %s Not tainted 6.1.0 #1\nRIP: 0010:drv_tick+0x4/0x8 [drv]\nCall Trace:\n%s"
	const softirq = " call_timer_fn+0x1/0x2\n __run_timers+0x1/0x2\n handle_softirqs+0x1/0x2\n"
	for _, c := range []struct{ comm, trace, want string }{
		{"cat", " <IRQ>\n" + softirq + " </IRQ>\n innocent+0x1/0x2", "cat was only interrupted and is not to blame"},
		{"ksoftirqd/0", " <TASK>\n" + softirq + " run_ksoftirqd+0x1/0x2\n </TASK>", "ksoftirqd/0 only runs what others queued and is not to blame"},
		{"ktimers/0", " <TASK>\n" + softirq + " run_timersd+0x1/0x2\n </TASK>", "ktimers/0 only runs what others queued and is not to blame"},
		{"ktimers/0", " <IRQ>\n" + softirq + " </IRQ>\n run_timersd+0x1/0x2", "ktimers/0 was only interrupted and is not to blame"},
	} {
		r, _, err := Text(fmt.Appendf(nil, head, c.comm, c.trace))
		if err != nil || !strings.HasSuffix(r.Verdict.Detail, c.want) || r.Verdict.Context != Timer {
			t.Errorf("%s: %s (%s), %v", c.comm, r.Verdict.Detail, r.Verdict.Context, err)
		}
	}
}

func TestPoison(t *testing.T) {
	gpf := "general protection fault, probably for non-canonical address 0x%s: 0000 [#1] SMP"
	page := "BUG: unable to handle page fault for address: %s"
	old := "general protection fault: 0000 [#1] SMP\nRDI: %s"
	for _, c := range []struct {
		form, address, name string
		kind                oops.Kind
	}{
		{gpf, "6b6b6b6b6b6b6b73", "POISON_FREE", oops.UseAfterFree},
		{gpf, "a56b6b6b6b6b6ba3", "POISON_FREE", oops.UseAfterFree},
		{old, "6b6b6b6b6b6b6b6b", "POISON_FREE", oops.UseAfterFree},
		{gpf, "5a5a5a5a5a5a5a62", "POISON_INUSE", oops.GeneralProtection},
		{gpf, "dead000000000108", "LIST_POISON1", oops.ListCorruption},
		{gpf, "dead000000000122", "LIST_POISON2", oops.ListCorruption},
		{page, "dead000000000100", "LIST_POISON1", oops.ListCorruption},
		{gpf, "dead4ead00000130", "SPINLOCK_MAGIC", oops.GeneralProtection},
		{gpf, "aaaaaaaaaaaaaaaa", "PAGE_POISON", oops.UseAfterFree},
		{gpf, "6b6b6b6b00000000", "", oops.GeneralProtection},
		{page, "ffff88806b6b6b6b", "", oops.PagingFault},
		{old, "0000000000000001", "", oops.GeneralProtection},
	} {
		r, _, err := Text([]byte(report(fmt.Sprintf(c.form, c.address), "drv_use+0x1/0x2 [drv]", " vfs_read+0x1/0x2")))
		if err != nil {
			t.Fatal(err)
		}
		named := slices.ContainsFunc(r.Findings, func(f Finding) bool {
			return f.ID == "poison" && strings.HasPrefix(f.Title, c.name+":")
		})
		if r.Verdict.Kind != c.kind || named != (c.name != "") {
			t.Errorf("%s: %s, %+v", c.address, r.Verdict.Kind, r.Findings)
		}
	}
}

func TestTextAsPointer(t *testing.T) {
	r, _, err := Text([]byte(report("general protection fault, probably for non-canonical address 0x6f77206f6c6c6568: 0000 [#1] SMP", "f+0x1/0x2", "")))
	if err != nil || !strings.Contains(r.Findings[1].Title, `"hello wo"`) {
		t.Errorf("%v, %+v", err, r.Findings)
	}
}

func TestFunction(t *testing.T) {
	for in, want := range map[string]string{
		"ck_uaf_use.isra.0":                "ck_uaf_use",
		"__mutex_lock.constprop.0":         "__mutex_lock",
		"ck_do.part.0.cold":                "ck_do",
		"do_exit.cold":                     "do_exit",
		"foo.llvm.1234567890":              "foo",
		"__alloc_pages_noprof":             "__alloc_pages",
		"x.coldish":                        "x.coldish",
		"_RNvCs1234_6kernel5print":         "_RNvCs1234_6kernel5print",
		"finish_task_switch.isra.0.part.1": "finish_task_switch",
		"":                                 "",
	} {
		if got := Function(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// TestSignatureStable holds that the place of a crash gives its signature, not the build or the boot.
func TestSignatureStable(t *testing.T) {
	sign := func(file string) string {
		r, _, err := Text(read(t, file))
		if err != nil {
			t.Fatal(file, err)
		}
		return r.Signature
	}
	if a, b := sign(kindsDir+"/null-work.dmesg.txt"), sign("../oops/testdata/logs/tiny-6.12-dmesg.txt"); a != b {
		t.Errorf("6.1 %s, another build of 6.12 %s", a, b)
	}
	seen := make(map[string]string)
	files, _ := filepath.Glob(kindsDir + "/*.dmesg.txt")
	for _, f := range files {
		s := sign(f)
		if other := seen[s]; other != "" {
			t.Errorf("%s and %s have one signature, %s", f, other, s)
		}
		seen[s] = f
		console := strings.Replace(f, ".dmesg.", ".console.", 1)
		if _, quiet := silent[filepath.Base(console)]; !quiet && sign(console) != s {
			t.Errorf("%s: log %s, console %s", f, s, sign(console))
		}
	}
	one := report(nullTitle, "drv_use.isra.0+0x1/0x2 [drv]", " a+0x1/0x2\n b+0x1/0x2")
	two := report(nullTitle, "drv_use+0x11/0x22 [drv]", " ab+0x1/0x2")
	r1, _, _ := Text([]byte(one))
	r2, _, _ := Text([]byte(two))
	if r1.Signature != r2.Signature {
		t.Errorf("%s, %s", r1.Signature, r2.Signature)
	}
}

// TestJSON holds the shape that scripts depend on: names of fields, addresses as strings, no invented zeros.
func TestJSON(t *testing.T) {
	r, _, err := Text(read(t, kindsDir+"/null-timer.dmesg.txt"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"schema":1,"verdict":{"kind":"null-dereference","title":"BUG: kernel NULL pointer dereference, address: 0000000000000000","headline":`,
		`"culprit":{"function":"ck_null_timer","offset":12,"module":"crashkit","why":"where the processor stood"}`,
		`"task":{"pid":0,"comm":"swapper/1"},"cpu":1`,
		`"RDX":"0xfffef309"`, `"missing":[]}`,
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in\n%s", want, b)
		}
	}
	quiet, _, err := Text([]byte("nothing\n"))
	if !errors.Is(err, oops.ErrNoReport) {
		t.Error(err)
	}
	b, _ = json.Marshal(quiet)
	const empty = `{"schema":1,"verdict":{"kind":"unknown","headline":"no kernel report in the text","confidence":"guess"},` +
		`"findings":[],"blocked":[],"locks":[],"stacks":[],"log_tail":[],"missing":[]}`
	if string(b) != empty {
		t.Errorf("%s", b)
	}
}

func TestTail(t *testing.T) {
	if got := tail([]byte("a\nb\r\nc\nd\n"), 4); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("%q", got)
	}
	if got := tail([]byte(strings.Repeat("x\n", 99)), 99); len(got) != tailLines {
		t.Errorf("%d lines", len(got))
	}
	if got := tail(nil, 9); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// TestPlumbing holds that no name stands in the table under two roles.
func TestPlumbing(t *testing.T) {
	seen := make(map[string]role)
	for r, names := range plumbing {
		for _, n := range strings.Fields(names) {
			if other, twice := seen[n]; twice {
				t.Errorf("%s has roles %d and %d", n, other, r)
			}
			seen[n] = r
		}
	}
}

func FuzzText(f *testing.F) {
	files, _ := filepath.Glob("../oops/testdata/wordings/*.txt")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, section := range strings.Split(string(b), "\n### ") {
			f.Add([]byte(section))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, _, err := Text(text)
		if err == nil && (r.Verdict.Headline == "" || r.Signature == "" || r.Verdict.Title == "") {
			t.Errorf("%+v %q", r.Verdict, r.Signature)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Error(err)
		}
	})
}
