package crashshell

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/golden"
)

// recordings gives the recorded answers that have a type, by command: those of testdata, other
// machines' among them, and all of the corpus where there is one.
func recordings(t testing.TB, visit func(t *testing.T, a Answer)) {
	t.Helper()
	dirs := []string{"testdata/8.0.2", "testdata/9.0.2"}
	if corpus := os.Getenv("KAUTOPSY_CORPUS"); corpus != "" {
		dirs = append(dirs, filepath.Join(corpus, "crash-transcripts/8.0.2"), filepath.Join(corpus, "crash-transcripts/9.0.2"))
	}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no recordings in %s: %v", dir, err)
		}
		for _, f := range files {
			out, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			name := strings.TrimSuffix(filepath.Base(f), ".txt")
			a := newAnswer(strings.ReplaceAll(name, "_", " "), out)
			if known, _ := a.Typed(); known == nil || a.failed() != nil {
				continue
			}
			t.(*testing.T).Run(filepath.Base(dir)+"/"+name, func(t *testing.T) { visit(t, a) })
		}
	}
	for _, machine := range machines {
		for _, e := range machineSession(t, machine) {
			a := newAnswer(e.Command, e.Output)
			if known, _ := a.Typed(); known != nil && a.failed() == nil {
				t.(*testing.T).Run(machine+"/"+e.Command, func(t *testing.T) { visit(t, a) })
			}
		}
	}
}

// machines are those of which testdata has a session: crash of that machine (9.0.2; 8.0.2 of
// arm64, which finds the tasks on a CPU alone on this kernel), run by
// qemu-user, on the dump of a guest with Debian's kernel 6.1.
var machines = []string{"arm64", "ppc64le", "s390x"}

func machineSession(t testing.TB, machine string) []Exchange {
	t.Helper()
	text, err := os.ReadFile("testdata/machines/" + machine + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	return ParseTranscript(text)
}

// rests are the lines that a typed answer did not understand.
func rests(v any) (list []string) {
	switch v := v.(type) {
	case Sys:
		return v.Rest
	case Processes:
		return v.Rest
	case Modules:
		return v.Rest
	case MemoryInfo:
		return v.Rest
	case Irqs:
		return v.Rest
	case Files:
		return v.Rest
	case Mounts:
		return v.Rest
	case Net:
		return v.Rest
	case Struct:
		return v.Rest
	case Disassembly:
		return v.Rest
	case Symbols:
		return v.Rest
	case Backtraces:
		list = v.Rest
		for _, b := range v.List {
			list = append(list, b.Rest...)
		}
	}
	return list
}

// formless are commands whose options ask for what has no type: the error says so.
var formless = []string{"dis -s schedule", "irq -a", "irq -b", "irq -d", "irq -s", "net -a", "net -s", "net -R 127.0.0.1"}

// TestRecordings: every line of the recordings is understood.
func TestRecordings(t *testing.T) {
	recordings(t, func(t *testing.T, a Answer) {
		v, err := a.Typed()
		if slices.Contains(formless, a.Command) {
			if !errors.Is(err, ErrForm) {
				t.Errorf("a form without a type: %v", err)
			}
			return
		}
		for _, line := range rests(v) {
			// long recordings of the corpus are cut
			_, isError := errorText(line, strings.Fields(a.Command)[0])
			if a.Command != "foreach bt -s" && !strings.HasPrefix(line, "[cut: ") && !isError {
				t.Errorf("not understood: %q", line)
			}
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// TestBack prints stacks and tables of tasks back and compares the words with crash's: nothing
// of a line was lost or put elsewhere.
func TestBack(t *testing.T) {
	recordings(t, func(t *testing.T, a Answer) {
		var lines []string
		switch v, _ := a.Typed(); v := v.(type) {
		case Backtraces:
			lines = stackLines(v, strings.Contains(a.Command, "x"))
		case Processes:
			lines = tableLines(v)
		}
		want := string(a.Output)
		for _, line := range lines {
			if !strings.Contains(squeezed(want), squeezed(line)+"\n") {
				t.Errorf("crash did not say: %s", line)
			}
		}
		for line := range answerLines(a.Output) {
			frame := strings.Contains(line, "#") && strings.Contains(line, " at ") && strings.HasPrefix(a.Command, "bt")
			row := strings.HasPrefix(a.Command, "ps") && psRow.MatchString(line)
			if (frame || row) && !strings.Contains(strings.Join(lines, "\n")+"\n", squeezed(line)+"\n") {
				t.Errorf("lost: %s", line)
			}
		}
	})
}

// squeezed makes one blank of many, within lines.
func squeezed(s string) string {
	var out []string
	for line := range strings.Lines(s) {
		out = append(out, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(out, "\n") + map[bool]string{true: "\n"}[strings.HasSuffix(s, "\n")]
}

func stackLines(v Backtraces, hex bool) (lines []string) {
	for _, b := range v.List {
		if b.Stack == "" {
			lines = append(lines, fmt.Sprintf("PID: %d TASK: %x CPU: %d COMMAND: %q", b.PID, uint64(b.Task), b.CPU, b.Command))
		}
		for _, f := range b.Frames {
			symbol := f.Symbol
			if f.Offset != nil {
				symbol += fmt.Sprintf(map[bool]string{true: "+%#x", false: "+%d"}[hex], *f.Offset)
			}
			line := fmt.Sprintf("#%d [%x] %s at %x", f.Level, uint64(f.Slot), symbol, uint64(f.PC))
			if f.Module != "" {
				line += " [" + f.Module + "]"
			}
			if f.Note != "" {
				line += " (" + f.Note + ")"
			}
			lines = append(lines, line)
			if f.Line != 0 {
				lines = append(lines, fmt.Sprintf("%s: %d", f.File, f.Line))
			}
		}
	}
	return lines
}

func tableLines(v Processes) (lines []string) {
	for _, p := range v.List {
		if p.PPID == nil {
			continue
		}
		comm := p.Comm
		if p.Kernel {
			comm = "[" + comm + "]"
		}
		line := fmt.Sprintf("%d %d %d %x %s %.1f %d %d %s", p.PID, *p.PPID, p.CPU, uint64(p.Task|p.KStack), p.State, p.Mem, p.VSZ, p.RSS, comm)
		if p.Task|p.KStack == 0 {
			line = strings.Replace(line, fmt.Sprintf("%d 0 %s", p.CPU, p.State), fmt.Sprintf("%d -- %s", p.CPU, p.State), 1)
		}
		if p.Active {
			line = "> " + line
		}
		lines = append(lines, line)
	}
	return lines
}

// TestJSON has what programs see.
func TestJSON(t *testing.T) {
	for _, name := range []string{
		"bt_-a", "bt_-e", "bt_-E", "bt_-l", "ps_-A", "ps_-a", "ps_-c", "ps_-t", "ps_-r", "ps_-m", "log_-c", "log_-d", "log_-m", "mod", "sys", "sys_-i",
		"kmem_-i", "irq", "files_1", "mount", "net", "struct_list_head", "dis_-l_schedule_10", "sym_schedule",
	} {
		t.Run(name, func(t *testing.T) {
			out, err := os.ReadFile("testdata/9.0.2/" + name + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			a := newAnswer(strings.ReplaceAll(name, "_", " "), out)
			v, err := a.Typed()
			if err != nil {
				t.Fatal(err)
			}
			b, err := json.MarshalIndent(v, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "typed/"+name+".json", string(b)+"\n")
		})
	}
}

// TestMachines has the forms that no recording shows, as the crash versions print them.
func TestMachines(t *testing.T) {
	tests := []struct {
		name, out string
		frames    int
		registers map[string]Address // of the last frame's exception
		where     string             // of any
	}{
		{"x86-64, an exception in the kernel", `PID: 1412   TASK: ffff88003d0b2040  CPU: 0   COMMAND: "bash"
 #7 [ffff88003c33dd30] do_page_fault at ffffffff8152d73e
 #8 [ffff88003c33dd60] page_fault at ffffffff8152aaf5
    [exception RIP: sysrq_handle_crash+22]
    RIP: ffffffff8134b516  RSP: ffff88003c33de18  RFLAGS: 00010096
    ORIG_RAX: ffffffffffffffff  CS: 0010  SS: 0018
--- <NMI exception stack> ---
 #9 [ffff88003c33de20] mlx5e_poll+0x12 at ffffffff8134b7d2 [mlx5_core]
#10 [ffff88003c33de70] write_sysrq_trigger (via proc_reg_write) at ffffffff8134b88e
`, 4, nil, "sysrq_handle_crash+22"},
		{"arm64", `PID: 260      TASK: ffff00000413d700  CPU: 0    COMMAND: "collect"
 #0 [ffff800080d0bb10] machine_kexec at ffffb2e0e7a3b5a4
 #1 [ffff800080d0bcc0] el0t_64_sync at ffffb2e0e7a11588
     PC: 0000ffff8d3ab6b8   LR: 0000ffff8d34b9b8   SP: 0000ffffd1c1a3b0
    X29: 0000ffffd1c1a3b0  X28: 0000000000000000  X27: 0000000000000000
    ORIG_X0: 0000000000000001  SYSCALLNO: 40  PSTATE: 20001000
`, 2, map[string]Address{"PC": 0xffff8d3ab6b8, "SYSCALLNO": 0x40, "PSTATE": 0x20001000}, ""},
		{"arm64, in the kernel", `PID: 1  TASK: ffff00000413d700  CPU: 0  COMMAND: "init"
 #0 [ffff800080d0bb10] el1h_64_sync at ffffb2e0e7a3b5a4
     PC: ffffb2e0e8123456  [sysrq_handle_crash+28]
     LR: ffffb2e0e8123999  [__handle_sysrq+148]
     SP: ffff800080d0bd00  PSTATE: 60400005
`, 1, map[string]Address{"LR": 0xffffb2e0e8123999, "PSTATE": 0x60400005}, ""},
		{"ppc64", `PID: 2171   TASK: c0000000f3c3b6d0  CPU: 1   COMMAND: "bash"
 #0 [c000000003c3b6d0] .crash_kexec at c0000000000f2b28
 #1 [c000000003c3b8d0] .die at c000000000030da8 (unreliable)
 #2 [c000000003c3be30] syscall_exit at c0000000000085b4
 System Call [c01] exception frame:
 R0:  0000000000000004    R1:  00000fffc60db1a0    R2:  00000fff8e6d3cc0   
 NIP: 00000fff8e5f0d58    MSR: 800000000280f032    OR3: 0000000000000001
 DSISR: 0000000042000000     Syscall Result: 0000000000000000
 [NIP  : sysrq_handle_crash+52]
 [LR   : __handle_sysrq+168]
`, 3, map[string]Address{"R1": 0xfffc60db1a0, "Syscall Result": 0, "DSISR": 0x42000000}, "sysrq_handle_crash+52"},
		{"s390x", `PID: 855    TASK: 2c92a000           CPU: 1   COMMAND: "bash"
 #0 [3f0a7b98] smp_find_processor_id at 10fe9a
 #1 [3f0a7eb8] system_call at 91c3e6
 PSW:  0705c00180000000 000003fffd2c5a3a (user space)
 GPRS: 0000000000000004 00000000800052d0 0000000000000001 000003fffd2c5a3a
       0000000000000005 0000000000000006 0000000000000007 0000000000000008
`, 2, map[string]Address{"PSW": 0x0705c00180000000, "GPRS": 4}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, err := ParseBacktraces([]byte(tt.out))
			if err != nil || len(v.List) != 1 || len(rests(v)) > 0 {
				t.Fatalf("%v, %d stacks, not understood: %q", err, len(v.List), rests(v))
			}
			b := v.List[0]
			if len(b.Frames) != tt.frames {
				t.Fatalf("%d frames, want %d", len(b.Frames), tt.frames)
			}
			for name, want := range tt.registers {
				e := b.Frames[len(b.Frames)-1].Exception
				if got, ok := e.Register(name); !ok || got != want {
					t.Errorf("%s is %#x, want %#x", name, got, want)
				}
			}
			where := ""
			for _, f := range b.Frames {
				if f.Exception != nil {
					where += f.Exception.Where
				}
			}
			if where != tt.where {
				t.Errorf("where: %q, want %q", where, tt.where)
			}
		})
	}
	v, _ := ParseBacktraces([]byte(tests[0].out))
	f := v.List[0].Frames
	if f[2].Marker != "<NMI exception stack>" || f[2].Module != "mlx5_core" || *f[2].Offset != 0x12 || f[3].Via != "proc_reg_write" {
		t.Errorf("marker, module, offset or via: %+v %+v", f[2], f[3])
	}
	v, _ = ParseBacktraces([]byte(tests[4].out))
	if n := len(v.List[0].Frames[1].Exception.Registers); n != 2+8 {
		t.Errorf("s390x: %d registers, want 10", n)
	}
}

// TestInterrupted has stacks that a fault in the kernel cut in two, in the forms of reports on
// the kernel's mailing lists: ppc64le (2020 and 2023), ppc64 (2.6.38), s390x (2024).
func TestInterrupted(t *testing.T) {
	parse := func(out string) Backtrace {
		t.Helper()
		v, err := ParseBacktraces([]byte("PID: 7  TASK: c0000000a5a50000  CPU: 3  COMMAND: \"x\"\n" + out))
		if err != nil || len(v.List) != 1 || len(rests(v)) > 0 {
			t.Fatalf("%v, %d stacks, not understood: %q", err, len(v.List), rests(v))
		}
		return v.List[0]
	}
	b := parse("  R0:  c0000000006d0001    R1:  c0000000a5a00040    R2:  c000000001000100\n  NIP: c000000000170070    MSR: 8000000002009033    OR3: c000000000170008\n" +
		"  DSISR: 0000000040000000     Syscall Result: 0000000000000000\n  [NIP  : memcpy_power7+1648]\n  [LR   : zs_obj_write+548]\n" +
		"  #0 [c0000000a5a00c50] crash_kexec at c000000000370268\n  #1 [c0000000a5a00d70] data_access_common_virt at c000000000008be0\n" +
		"  Data Access [300] exception frame:\n  R0:  c0000000006d0002    R1:  c0000000a5a00080\n  [NIP  : memcpy_power7+1648]\n" +
		"  #2 [c0000000a5a00e40] zram_write_page at c008000009170a50 [zram]\n")
	if len(b.Frames) != 3 || len(b.Exceptions) != 1 || b.Exceptions[0].Where != "memcpy_power7+1648" || b.Frames[2].Module != "zram" {
		t.Errorf("ppc64le: %+v", b)
	}
	if e := b.Frames[1].Exception; e == nil || e.Kind != "Data Access [300]" || e.Where != "memcpy_power7+1648" || len(e.Registers) != 2 {
		t.Errorf("ppc64le, below frame 1: %+v", e)
	}
	b = parse(" CTR: 0000000000000000    LR:  c000000000720034    XER: 0000000000000001\n NIP [c000000000720034] .panic\n LR  [c000000000720034] .panic\n\n" +
		" #0 [c0000002eac00920] .panic at c000000000720034\n")
	if len(b.Frames) != 1 || len(b.Exceptions) != 1 || b.Exceptions[0].Where != ".panic" {
		t.Errorf("ppc64: %+v", b)
	}
	b = parse(" #0 [8026be60] __machine_kexec at 504c09ee\n #1 [380004abb00] pgm_check_handler at 50d6e088\n PSW:  0704c00180000000 000003ff807d97e6 (do_xmote+790 [gfs2])\n" +
		" GPRS: c0000000ffffbfff 0000000000000027 0000000000000067 00000000ffffbfff\n       00000380004ab798 00000380004ab790 000003ff807f2b70 000003ff80810df0\n" +
		" #0 [380004abcb8] gfs2_glock_nq at 3ff807d9d88 [gfs2]\n")
	if e := b.Frames[1].Exception; len(b.Frames) != 3 || e == nil || len(e.Registers) != 2+8 || e.Registers[1].Symbol != "do_xmote+790 [gfs2]" {
		t.Errorf("s390x: %+v", b)
	}
}

// TestLowcore: what s390x keeps of a stopped CPU is no frame's.
func TestLowcore(t *testing.T) {
	for _, e := range machineSession(t, "s390x") {
		if e.Command != "bt -l" {
			continue
		}
		v, err := ParseBacktraces(e.Output)
		if err != nil || len(v.List) != 1 || len(v.List[0].Exceptions) != 1 {
			t.Fatalf("%+v, %v", v, err)
		}
		low := v.List[0].Exceptions[0]
		counts := map[string]int{}
		for _, r := range low.Registers {
			counts[r.Name]++
		}
		if low.Kind != "LOWCORE INFO" || low.Where != "stop_run" || low.Line != 309 || counts["psw"] != 2 || counts["general registers"] != 16 || counts["access registers"] != 16 {
			t.Errorf("%s %s %d: %v", low.Kind, low.Where, low.Line, counts)
		}
		last := v.List[0].Frames[10]
		if e := last.Exception; last.File == "" || e == nil || e.Kind != "USER-MODE INTERRUPT" || e.At != 0x3800027bf38 || len(e.Registers) != 2+16 {
			t.Errorf("%+v", last)
		}
		return
	}
	t.Error("no bt -l is recorded")
}

// TestNoStack: a zombie has none, and foreach bt goes on.
func TestNoStack(t *testing.T) {
	v, err := ParseBacktraces([]byte("PID: 222 TASK: ffff8e579f31b300  CPU: 0    COMMAND: \"a \"b\"\"\n(no stack)\n\n" +
		"PID: 1 TASK: ffff8e57811f3300  CPU: 0    COMMAND: \"init\"\nbt: invalid kernel virtual address: 0  type: \"stack contents\"\n"))
	if err != nil || len(v.List) != 2 || len(rests(v)) > 0 || len(v.List[1].Errors) != 1 || v.List[0].Command != `a "b"` {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestOldModules: crash before 8.0 has no column BASE.
func TestOldModules(t *testing.T) {
	v, err := ParseModules([]byte(`     MODULE       NAME                      SIZE  OBJECT FILE
ffffffffc0508340  virtio_ring              49152  (not loaded)  [CONFIG_KALLSYMS]
ffffffffa0000340  big                   12345678  /lib/modules/x/big.ko.debug
`))
	if err != nil || len(v.Rest) > 0 || len(v.List) != 2 {
		t.Fatalf("%+v, %v", v, err)
	}
	if m := v.List[1]; m.Base != 0 || m.Size != 12345678 || m.Object != "/lib/modules/x/big.ko.debug" {
		t.Errorf("%+v", m)
	}
	v, err = ParseModules([]byte("NAME     TAINTS\nnvidia   POE\n"))
	if err != nil || len(v.List) != 1 || v.List[0].Taints != "POE" {
		t.Errorf("taints: %+v, %v", v, err)
	}
}

// TestUnknown: what is not crash's keeps its lines and gets an error.
func TestUnknown(t *testing.T) {
	for _, command := range []string{"sys", "bt", "ps", "mod", "kmem -i", "irq", "foreach UN files", "mount", "net", "struct x", "dis x", "sym x"} {
		a := Answer{Command: command, Output: []byte("the quick brown fox\n")}
		v, err := a.Typed()
		if !errors.Is(err, ErrForm) || len(rests(v)) != 1 {
			t.Errorf("%s: %v, kept %q", command, err, rests(v))
		}
	}
	a := Answer{Command: "kmem -s", Output: []byte("x\n")}
	if v, err := a.Typed(); v != nil || err != nil {
		t.Errorf("kmem -s: %v, %v", v, err)
	}
}

// TestTyped asks a session.
func TestTyped(t *testing.T) {
	s := startFake(t, "")
	ctx := t.Context()
	sys, err := s.Sys(ctx)
	if err != nil || sys.Tasks != 138 || sys.Uptime.Seconds() != 17 || sys.MHz != 2297 || sys.Date.Year() != 2026 || len(sys.Load) != 3 {
		t.Errorf("sys: %+v, %v", sys, err)
	}
	bt, err := s.Backtraces(ctx, "-a")
	if err != nil || len(bt.List) != 2 || bt.List[1].Command != "w-busy" {
		t.Errorf("bt -a: %+v, %v", bt, err)
	}
	un, err := s.Backtraces(ctx, "-nosuch")
	if err == nil {
		t.Errorf("a failed command: %+v", un)
	}
	ps, err := s.Processes(ctx)
	if err != nil || len(ps.List) != 138 {
		t.Errorf("ps: %d, %v", len(ps.List), err)
	}
	mods, err := s.Modules(ctx)
	if err != nil || len(mods.List) == 0 || mods.List[0].Name != "virtio_ring" {
		t.Errorf("mod: %+v, %v", mods, err)
	}
	more := func() error {
		_, a := s.MemoryInfo(ctx)
		_, b := s.Irqs(ctx)
		_, c := s.Mounts(ctx)
		_, d := s.Net(ctx)
		_, e := s.Files(ctx, "1")
		_, f := s.Struct(ctx, "list_head")
		_, g := s.Disassembly(ctx, "-l", "schedule", "10")
		_, h := s.Symbols(ctx, "schedule")
		return errors.Join(a, b, c, d, e, f, g, h)
	}
	if err := more(); err != nil {
		t.Error(err)
	}
	log, err := s.Log(ctx)
	if err != nil || len(log.Records) < 300 || log.Records[0].Time == nil {
		t.Errorf("log: %d, %v", len(log.Records), err)
	}
}

// TestStruct has what is nested, offsets, and values.
func TestStruct(t *testing.T) {
	v, err := ParseStruct([]byte("struct page {\n    [0] unsigned long flags;\n        union {\n            struct {\n    [8]         struct list_head lru;\n" +
		"            };\n   [0x18]    void *mapping;\n        };\n  [0x40] struct mem_cgroup *memcg;\n}\nSIZE: 0x48\n"))
	if err != nil || v.Size != 0x48 || v.Name != "struct page" || len(v.Members) != 3 || *v.Members[2].Offset != 0x40 ||
		v.Members[2].Text != "struct mem_cgroup *memcg" || !strings.Contains(v.Members[1].Text, "*mapping") {
		t.Errorf("%+v, %v", v, err)
	}
	v, err = ParseStruct([]byte("struct list_head {\n  next = 0xffff8e57811f3300,\n  pair = {\n    a = 1,\n    b = 2\n  },\n  prev = 0x0\n}\n"))
	if err != nil || len(v.Members) != 3 || v.Members[0].Name != "next" || v.Members[0].Text != "0xffff8e57811f3300" ||
		v.Members[1].Name != "pair" || v.Members[2].Text != "0x0" {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestStructs has several values in one answer, and members without their struct.
func TestStructs(t *testing.T) {
	v, err := ParseStruct([]byte("[0]: ffffe8fefe6026c8\nstruct disk_stats {\n  ios = {6041, 971}, \n  io_ticks = 12\n}\n[1]: ffffe8fefe8026c8\nstruct disk_stats {\n  ios = {0, 0}, \n  io_ticks = 23\n}\nSIZE: 36  (0x24)\n"))
	if err != nil || len(v.Rest) > 0 || len(v.More) != 1 || v.Addr != 0xffffe8fefe6026c8 || *v.More[0].CPU != 1 || v.More[0].Members[1].Text != "23" || v.More[0].Size != 36 {
		t.Errorf("%+v, %v", v, err)
	}
	v, err = ParseStruct([]byte("  pid = 1,\n  comm = \"init\\000\",\n  se = {\n    load = {\n      weight = 3\n    },\n    on_rq = 1\n  },\n  cpu = 0\n"))
	if err != nil || len(v.Rest) > 0 || v.Name != "" || len(v.Members) != 4 || v.Members[1].Text != `"init\000"` || v.Members[2].Name != "se" ||
		!strings.Contains(v.Members[2].Text, "on_rq = 1") || v.Members[3].Text != "0" {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestOldIrq: for kernels before 2.6.37 crash tells each interrupt in a block.
func TestOldIrq(t *testing.T) {
	v, err := ParseIrqs([]byte("    IRQ: 18\n STATUS: 0 \nHANDLER: c02301e0  <ioapic_level>\n         typename: c01f9e0c  \"IO-APIC-level\"\n ACTION: c009c6b0\n" +
		"          handler: c01ce818  <do_isr>\n            flags: 4000000  (SA_SHIRQ)\n             name: c0217780  \"aic 7xxx\"\n             next: c009c770\n" +
		" ACTION: c009c770\n             name: c0217790  \"other\"\n  DEPTH: 0\n\n    IRQ: 19\n STATUS: 2  (IRQ_DISABLED)\n ACTION: (none)\n  DEPTH: 1\n"))
	if err != nil || len(v.Rest) > 0 || len(v.List) != 2 || len(v.List[0].Actions) != 2 || len(v.List[1].Actions) != 0 {
		t.Fatalf("%+v, %v", v, err)
	}
	if a := v.List[0].Actions; a[0].Name != "aic 7xxx" || len(a[0].Fields) != 3 || a[1].Address != 0xc009c770 || len(v.List[0].Fields) != 4 {
		t.Errorf("%+v", v.List[0])
	}
}

// TestMoreRows has rows that no recording shows: a shared interrupt, a path with blanks, an
// interface without an address, symbols of a module.
func TestMoreRows(t *testing.T) {
	irqs, err := ParseIrqs([]byte(" IRQ   IRQ_DESC/_DATA      IRQACTION      NAME\n 11   ffff8e57811bd600  ffff8e578244e380  \"ehci_hcd:usb1\"\n" +
		"                        ffff8e578244e500  \"i801 smbus\"\n 12      (unused)          (unused)      \n"))
	if err != nil || len(irqs.Rest) > 0 || len(irqs.List) != 2 || len(irqs.List[0].Actions) != 2 || irqs.List[0].Actions[1].Name != "i801 smbus" {
		t.Errorf("irq: %+v, %v", irqs, err)
	}
	files, err := ParseFiles([]byte("PID: 1 TASK: ffff8e57811f3300  CPU: 0 COMMAND: \"a\"\nROOT: /a b    CWD: /c d\n FD       FILE            DENTRY           INODE       TYPE PATH\n" +
		"  3 ffff8e5781a99600 ffff8e5781550240 ffff8e5781844cd0 REG  /my file\n  4 ffff8e5781a99600 ffff8e5781550240 ffff8e5781844cd0 SOCK UNIX\n"))
	if err != nil || len(files.Rest) > 0 || files.List[0].Root != "/a b" || files.List[0].Cwd != "/c d" || len(files.List[0].Open) != 2 || files.List[0].Open[0].Path != "/my file" {
		t.Errorf("files: %+v, %v", files, err)
	}
	net, err := ParseNet([]byte("   NET_DEVICE     NAME   IP ADDRESS(ES)\nffff8e5798548000  bond0  \n"))
	if err != nil || len(net.Rest) > 0 || len(net.List) != 1 || net.List[0].Addresses != nil {
		t.Errorf("net: %+v, %v", net, err)
	}
	sym, err := ParseSymbols([]byte("0 (D) __per_cpu_start\nffffffffc0501000 MODULE TEXT START: ext4\nffffffffc0501010 (t) ext4_map+0x1f [ext4]\nffffffffc0501999 MODULE END: ext4\n"))
	if err != nil || len(sym.Rest) > 0 || len(sym.List) != 4 || sym.List[1].Name != "ext4" || *sym.List[2].Offset != 0x1f || sym.List[2].Module != "ext4" {
		t.Errorf("sym: %+v, %v", sym, err)
	}
}
