package kernel_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// TestTypesTiny compares the types of the small kernel with what it says of them elsewhere.
func TestTypesTiny(t *testing.T) {
	k := openKernel(t, tiny+"/vmcore.zlib")
	b := readBTF(t, k)
	sameAsVMCoreInfo(t, k, b, 20)
	initTask(t, k, b)
	perCPU(t, k, b)
	rootTypes(t, k, b)
	lists(t, k, b)
	moduleTypes(t, k, 1)
	scanned(t, k)
}

// TestTypesErased: a dump whose types makedumpfile has erased says that it has none.
func TestTypesErased(t *testing.T) {
	k := openKernel(t, tiny+"/vmcore.split.1")
	if b, err := k.Types(); b != nil || !errors.Is(err, phys.ErrExcluded) {
		t.Error(err)
	}
}

// TestTypesDamaged cuts the dump, or overwrites a part of it: what is said of a type is
// then what the whole dump says of it.
func TestTypesDamaged(t *testing.T) {
	file, err := os.ReadFile(tiny + "/vmcore.zlib")
	if err != nil {
		t.Fatal(err)
	}
	whole := readBTF(t, openKernel(t, tiny+"/vmcore.zlib"))
	try := func(what string, file []byte) {
		k, err := kernel.Open(openDump(t, file), nil)
		if err != nil {
			return
		}
		b, err := k.BTF()
		if err != nil && phys.Reason(err) == nil {
			t.Errorf("%s: %v", what, err)
		}
		if t.Logf("%s: %.150v", what, err); b != nil {
			sameTypes(t, b, whole)
		}
	}
	for _, percent := range []int{30, 60, 84, 90} {
		try(fmt.Sprintf("cut at %d%%", percent), file[:len(file)*percent/100])
	}
	step := 1
	if testing.Short() {
		step = 4
	}
	for percent := 72; percent < 86; percent += step { // the types are there
		at, damaged := len(file)*percent/100, bytes.Clone(file)
		clear(damaged[at : at+64])
		try(fmt.Sprintf("zeros at %d%%", percent), damaged)
	}
}

// sameTypes compares every struct that can be read.
func sameTypes(t *testing.T, part, whole *symbols.BTF) {
	t.Helper()
	for typ, err := range part.All() {
		if err != nil {
			if phys.Reason(err) == nil {
				t.Errorf("type %d: %v", typ.ID, err)
			}
			continue
		}
		if typ.Kind != symbols.KindStruct {
			continue
		}
		want, err := whole.ByID(typ.ID)
		if got := typ.Declare(); err != nil || got != want.Declare() && !strings.Contains(got, "<unreadable") {
			t.Errorf("type %d: %s, %v", typ.ID, got, err)
		}
	}
}

// scanned finds the types without their symbols.
func scanned(t *testing.T, k *kernel.Kernel) {
	t.Helper()
	first, err1 := k.Symbol("__start_BTF")
	last, err2 := k.Symbol("__stop_BTF")
	space, err3 := k.Space()
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	im := symbols.Image{}
	im.Start, im.End = space.ImageRange()
	start, end, err := symbols.FindBTF(k, im)
	if start != first.Addr || end != last.Addr || err != nil {
		t.Errorf("found at %#x-%#x, not at %#x-%#x: %v", start, end, first.Addr, last.Addr, err)
	}
}

// TestTypesARM64: a kernel that names no data still has its types.
func TestTypesARM64(t *testing.T) {
	k := openKernel(t, corpusDump(t, filepath.Join(dumptest.Corpus(t), "arm64", "vmcore.elf")))
	b := readBTF(t, k)
	sameAsVMCoreInfo(t, k, b, 60)
	kinds(t, b, nil)
}

// TestTypesCorpus does the same for distribution kernels: the kinds of BTF they have and
// the modules with types are those that bpftool and pahole count.
func TestTypesCorpus(t *testing.T) {
	dir := dumptest.Corpus(t)
	for _, c := range []struct {
		version  string
		modules  int
		absent   []symbols.Kind
		variable bool // BTF knows per-CPU variables
	}{
		{"5.10", 0, []symbols.Kind{symbols.KindVar, symbols.KindDataSec, symbols.KindFloat, symbols.KindTag, symbols.KindDeclTag}, false},
		{"6.1", 31, []symbols.Kind{symbols.KindTag, symbols.KindDeclTag}, true},
		{"6.12", 23, []symbols.Kind{symbols.KindTag}, true},
		{"7.2", 22, nil, true},
	} {
		t.Run(c.version, func(t *testing.T) {
			k := openKernel(t, corpusDump(t, filepath.Join(dir, c.version, "vmcore.raw")))
			b := readBTF(t, k)
			sameAsVMCoreInfo(t, k, b, 60)
			initTask(t, k, b)
			perCPU(t, k, b)
			rootTypes(t, k, b)
			lists(t, k, b)
			kinds(t, b, c.absent)
			moduleTypes(t, k, c.modules)
			scanned(t, k)
			if _, err := b.ByName("runqueues", symbols.KindVar); (err == nil) != c.variable {
				t.Errorf("variable runqueues: %v", err)
			}
		})
	}
}

// corpusDump is a dump of the corpus, where it lies unpacked or packed.
func corpusDump(t testing.TB, name string) string {
	if _, err := os.Stat(name); err == nil {
		return name
	}
	return dumptest.Unpacked(t, name+".xz")
}

func readBTF(t testing.TB, k *kernel.Kernel) *symbols.BTF {
	t.Helper()
	b, err := k.BTF()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sizeOrOffset is a line of VMCOREINFO that types tell too.
var sizeOrOffset = regexp.MustCompile(`^(SIZE|OFFSET)\((\w+)(?:\.(\w+))?\)$`)

// sameAsVMCoreInfo compares every size and offset that the kernel told about itself.
func sameAsVMCoreInfo(t *testing.T, k *kernel.Kernel, b *symbols.BTF, least int) {
	t.Helper()
	info, err := k.Info()
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for key, value := range info.All() {
		m := sizeOrOffset.FindStringSubmatch(key)
		if m == nil {
			continue
		}
		typ, err := symbols.Find(b, "struct "+m[2])
		if err != nil {
			typ, err = symbols.Find(b, m[2])
		}
		if err != nil {
			t.Logf("%s: %v", key, err) // nodemask_t and mem_section are variables in some
			continue
		}
		got := typ.Size()
		if m[1] == "OFFSET" {
			member, err := typ.Member(m[3])
			if err != nil {
				t.Errorf("%s: %v", key, err)
				continue
			}
			got = member.Offset / 8
		}
		if fmt.Sprint(got) != value {
			t.Errorf("%s is %s, the types say %d", key, value, got)
		}
		compared++
	}
	if t.Logf("%d sizes and offsets as in VMCOREINFO", compared); compared < least {
		t.Errorf("only %d sizes and offsets", compared)
	}
}

// initTask reads the first task by its types.
func initTask(t *testing.T, k *kernel.Kernel, b *symbols.BTF) {
	t.Helper()
	task, err := k.Global(b, "init_task")
	if err != nil {
		t.Fatal(err)
	}
	f := task.Fields()
	if comm := f.Text("comm"); !strings.HasPrefix(comm, "swapper") {
		t.Errorf("comm of init_task is %q", comm)
	}
	if pid := f.Int("pid"); pid != 0 {
		t.Errorf("pid of init_task is %d", pid)
	}
	if state := f.Uint("__state", "state"); state != 0 {
		t.Errorf("state of init_task is %#x", state)
	}
	if flags := f.Uint("flags"); flags&0x00200000 == 0 { // PF_KTHREAD
		t.Errorf("flags of init_task are %#x", flags)
	}
	if parent := f.Pointer("real_parent"); parent != task.Addr {
		t.Errorf("parent of init_task at %#x is %#x", task.Addr, parent)
	}
	leader, err := task.Follow("group_leader")
	if err != nil || leader.Addr != task.Addr || leader.Type.Name != "task_struct" {
		t.Errorf("leader of init_task is %v %#x, %v", leader.Type, leader.Addr, err)
	}
	if err := f.Err(); err != nil {
		t.Error(err)
	}
	uts, err := k.Global(b, "init_uts_ns")
	if err != nil {
		t.Fatal(err)
	}
	release, err := uts.Text("name.release")
	if info, _ := k.Info(); release != info.Release() || err != nil {
		t.Errorf("release %q, %v", release, err)
	}
}

// perCPU reads the idle task of each CPU from its runqueue.
func perCPU(t *testing.T, k *kernel.Kernel, b *symbols.BTF) {
	t.Helper()
	count, err := k.Global(b, "nr_cpu_ids")
	if err != nil {
		t.Fatal(err)
	}
	n, err := count.Uint()
	if err != nil || n == 0 {
		t.Fatal(n, err)
	}
	for cpu := range int(n) {
		rq, err := k.PerCPU(b, "runqueues", cpu)
		if err != nil {
			t.Fatal(err)
		}
		if at, err := rq.Uint("cpu"); at != uint64(cpu) || err != nil {
			t.Errorf("runqueue of CPU %d says %d, %v", cpu, at, err)
		}
		idle, err := rq.Follow("idle")
		if err != nil {
			t.Fatal(err)
		}
		if comm, err := idle.Text("comm"); comm != fmt.Sprintf("swapper/%d", cpu) && comm != "swapper" || err != nil {
			t.Errorf("idle task of CPU %d is %q, %v", cpu, comm, err)
		}
	}
}

// dimension is the end of an array's type.
var dimension = regexp.MustCompile(` ?\[\d*\]$`)

// rootTypes looks whether a kernel has the type of each variable that it has, and whether
// BTF says the same where it knows the variable.
func rootTypes(t *testing.T, k *kernel.Kernel, b *symbols.BTF) {
	t.Helper()
	asked := 0
	for name, spelled := range kernel.Roots() {
		if _, err := k.Symbol(name); err != nil {
			continue
		}
		asked++
		o, err := k.Global(b, name)
		if errors.Is(err, symbols.ErrNoType) && name == "tk_core" {
			continue // of a struct without a name until 6.12
		}
		if err != nil {
			t.Errorf("%s %s: %v", spelled, name, err)
			continue
		}
		got := dimension.ReplaceAllString(o.Type.String(), "")
		if want := strings.TrimSuffix(spelled, "[]"); got != want {
			t.Errorf("%s is %q, the table says %q", name, got, want)
		}
	}
	if asked < 30 {
		t.Errorf("only %d variables", asked)
	}
}

// lists walks the tasks and the modules.
func lists(t *testing.T, k *kernel.Kernel, b *symbols.BTF) {
	t.Helper()
	first, err := k.Global(b, "init_task")
	if err != nil {
		t.Fatal(err)
	}
	head, err := first.Member("tasks")
	if err != nil {
		t.Fatal(err)
	}
	var comms []string
	for task, err := range k.List(t.Context(), head.Addr, first.Type, "tasks") {
		if err != nil {
			t.Fatal(err)
		}
		comm, err := task.Text("comm")
		if err != nil {
			t.Error(err)
		}
		comms = append(comms, comm)
	}
	if len(comms) < 20 || comms[1] != "kthreadd" {
		t.Errorf("tasks %q", comms)
	}
	mods, err := k.Modules(t.Context())
	if err != nil {
		t.Error(err)
	}
	module, err := symbols.Find(b, "struct module")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mods {
		if name, err := k.Object(module, m.Addr).Text("name"); name != m.Name || err != nil {
			t.Errorf("module %s is %q by its type, %v", m.Name, name, err)
		}
	}
}

// kinds reads and prints every type.
func kinds(t *testing.T, b *symbols.BTF, absent []symbols.Kind) {
	t.Helper()
	count := map[symbols.Kind]int{}
	for typ, err := range b.All() {
		if err != nil {
			t.Fatal(err)
		}
		count[typ.Kind]++
		for _, l := range typ.Lines() {
			if l.Text == "..." || strings.HasPrefix(l.Text, "... ") || strings.Contains(l.Text, "<unreadable") {
				t.Errorf("%v: %s", typ, l.Text)
			}
		}
	}
	t.Log(count)
	for _, k := range absent {
		if count[k] != 0 {
			t.Errorf("%d of kind %v", count[k], k)
		}
	}
	if count[symbols.KindStruct] < 5000 || count[symbols.KindFunc] < 20000 {
		t.Errorf("%d structs, %d functions", count[symbols.KindStruct], count[symbols.KindFunc])
	}
}

// moduleTypes reads the types of every module.
func moduleTypes(t *testing.T, k *kernel.Kernel, want int) {
	t.Helper()
	var names []string
	for m, err := range k.ModuleTypes(t.Context()) {
		if err != nil {
			if want != 0 || !errors.Is(err, symbols.ErrNoSymbol) {
				t.Error(m.Name, err)
			}
			continue
		}
		names = append(names, m.Name)
		for typ, err := range m.Types.(*symbols.BTF).Own() {
			if err != nil {
				t.Errorf("module %s: %v", m.Name, err)
			}
			if s := typ.Declare(); strings.Contains(s, "<unreadable") {
				t.Errorf("module %s: %s", m.Name, s)
			}
		}
		if _, err := symbols.Find(m.Types, "struct task_struct", "comm"); err != nil {
			t.Errorf("module %s: %v", m.Name, err)
		}
	}
	if len(names) != want {
		t.Errorf("types of %d modules, not of %d: %q", len(names), want, names)
	}
	var loaded []string
	mods, _ := k.Modules(t.Context())
	for _, m := range mods {
		loaded = append(loaded, m.Name)
	}
	for _, name := range names {
		if !slices.Contains(loaded, name) {
			t.Errorf("module %s is not loaded", name)
		}
	}
}

// TestTypesAsCrash compares struct task_struct of 6.1 with what crash prints of it.
func TestTypesAsCrash(t *testing.T) {
	dir := dumptest.Corpus(t)
	k := openKernel(t, corpusDump(t, filepath.Join(dir, "6.1", "vmcore.raw")))
	task, err := symbols.Find(readBTF(t, k), "struct task_struct")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, l := range task.Lines() {
		at := ""
		if l.Member {
			at = "[" + strconv.FormatUint(l.Offset/8, 10) + "]"
		}
		if l.Depth == 0 {
			fmt.Fprintln(&got, l.Text)
			continue
		}
		fmt.Fprintf(&got, "%8s %s%s\n", at, strings.Repeat(" ", 4*(l.Depth-1)), l.Text)
	}
	fmt.Fprintf(&got, "SIZE: %d\n", task.Size())
	tr := truth{t, filepath.Join(dir, "crash-transcripts", "9.0.2")}
	want := strings.TrimSpace(tr.text("struct_task_struct_-o.txt"))
	if d := firstDifference(strings.Split(want, "\n"), strings.Split(strings.TrimSpace(got.String()), "\n")); d != "" {
		t.Error(d)
	}
}
