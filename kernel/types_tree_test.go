package kernel_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// TestTrees walks the trees of real kernels: what they hold is what the guest said, and what
// other structures say.
func TestTrees(t *testing.T) {
	t.Run("tiny", func(t *testing.T) {
		trees(t, openKernel(t, tiny+"/vmcore.zlib"), truth{t, tiny + "/truth"})
	})
	dir := dumptest.Corpus(t)
	for _, name := range []string{"5.10/vmcore.raw", "6.1/vmcore.raw", "6.12/vmcore.raw", "7.2/vmcore.raw", "arm64/vmcore.elf"} {
		t.Run(filepath.Dir(name), func(t *testing.T) {
			k := openKernel(t, corpusDump(t, filepath.Join(dir, name)))
			trees(t, k, truth{t, filepath.Join(dir, filepath.Dir(name), "truth")})
		})
	}
}

func trees(t *testing.T, k *kernel.Kernel, tr truth) {
	b := readBTF(t, k)
	tasks := map[int]kernel.Task{}
	for task, err := range k.Tasks(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if task.PID != 0 {
			tasks[task.PID] = task
		}
	}
	pidIDR(t, k, b, tasks)
	vmas(t, k, b, tasks, tr.text("maps.txt"))
	if _, err := k.Symbol("super_blocks"); errors.Is(err, symbols.ErrNoSymbol) {
		t.Log("no data is named: its interrupts, timers and files are not looked for")
		return
	}
	interrupts(t, k, b, tr.text("interrupts"))
	timers(t, k, b)
	fairTasks(t, k, b)
	pageCache(t, k, b)
}

// pidIDR finds each thread by its number, and no others.
func pidIDR(t *testing.T, k *kernel.Kernel, b *symbols.BTF, tasks map[int]kernel.Task) {
	t.Helper()
	ns, err := follow(tasks[1].Object, "nsproxy", "pid_ns_for_children")
	if err != nil {
		t.Fatal(err)
	}
	idr, err := ns.Member("idr")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for e, err := range k.IDR(t.Context(), idr, find(t, b, "struct pid")) {
		if err != nil {
			t.Error(err)
			continue
		}
		head, err := e.Member("tasks[0]")
		if err != nil {
			t.Fatal(err)
		}
		for task, err := range k.HList(t.Context(), head.Addr, find(t, b, "struct task_struct"), "pid_links[0]") {
			if err != nil {
				t.Error(err)
				continue
			}
			found++
			if pid, err := task.Int("pid"); err != nil || uint64(pid) != e.First || tasks[int(pid)].Addr != task.Addr {
				t.Errorf("number %d leads to task %d at %#x: %v", e.First, pid, task.Addr, err)
			}
		}
	}
	if t.Logf("pid IDR: %d tasks", found); found != len(tasks) {
		t.Errorf("%d tasks in the IDR, %d on the list", found, len(tasks))
	}
}

// follow goes from pointer to pointer.
func follow(o kernel.Object, members ...string) (_ kernel.Object, err error) {
	for _, m := range members {
		if o, err = o.Follow(m); err != nil {
			return o, err
		}
	}
	return o, nil
}

// vmas compares the mappings of all processes with /proc/PID/maps.
func vmas(t *testing.T, k *kernel.Kernel, b *symbols.BTF, tasks map[int]kernel.Task, maps string) {
	t.Helper()
	equal, processes, areas := 0, 0, 0
	for section := range strings.SplitSeq(maps, "== ") {
		var pid int
		fmt.Sscan(section, &pid)
		task, ok := tasks[pid]
		var want, got []string
		for line := range strings.Lines(section) {
			if span, _, ok := strings.Cut(line, " "); ok && strings.Contains(span, "-") && !strings.Contains(line, "[vsyscall]") {
				want = append(want, span)
			}
		}
		if !ok || len(want) == 0 {
			continue
		}
		if at, err := task.Pointer("mm"); at == 0 && err == nil {
			continue // it ended before the crash
		}
		mm, err := task.Follow("mm")
		if err != nil {
			t.Errorf("process %d: %v", pid, err)
			continue
		}
		processes++
		for _, v := range areasOf(t, k, b, mm) {
			f := v.Fields()
			if got = append(got, fmt.Sprintf("%08x-%08x", f.Uint("vm_start"), f.Uint("vm_end"))); f.Err() != nil {
				t.Error(f.Err())
			}
		}
		areas += len(got)
		if count, err := mm.Int("map_count"); err != nil || int(count) != len(got) || !slices.IsSorted(padded(got)) {
			t.Errorf("process %d has %d areas, %d found: %q", pid, count, len(got), got)
		}
		if slices.Equal(got, want) {
			equal++
		} else {
			t.Logf("process %d: %s", pid, firstDifference(want, got))
		}
	}
	if t.Logf("maps: %d of %d processes equal, %d areas", equal, processes, areas); equal < processes-1 || equal == 0 {
		t.Errorf("%d of %d processes have the mappings that /proc had", equal, processes)
	}
}

func padded(spans []string) (list []string) {
	for _, s := range spans {
		list = append(list, fmt.Sprintf("%33s", s))
	}
	return list
}

// areasOf are the mappings of a process in the tree that its kernel has.
func areasOf(t *testing.T, k *kernel.Kernel, b *symbols.BTF, mm kernel.Object) (list []kernel.Object) {
	t.Helper()
	area := find(t, b, "struct vm_area_struct")
	if mm.Has("mm_rb") {
		root, err := mm.Member("mm_rb")
		if err != nil {
			t.Fatal(err)
		}
		for o, err := range k.RBTree(t.Context(), root.Addr, area, "vm_rb") {
			if err != nil {
				t.Error(err)
			}
			list = append(list, o)
		}
		return list
	}
	root, err := mm.Member("mm_mt")
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range k.MapleTree(t.Context(), root, area) {
		if err != nil {
			t.Error(err)
			continue
		}
		f := e.Fields()
		if start, end := f.Uint("vm_start"), f.Uint("vm_end"); start != e.First || end != e.Last+1 || f.Err() != nil {
			t.Errorf("%#x to %#x is under %#x to %#x, %v", start, end, e.First, e.Last, f.Err())
		}
		list = append(list, e.Object)
	}
	return list
}

// interrupts finds the descriptors of all interrupts that /proc/interrupts has.
func interrupts(t *testing.T, k *kernel.Kernel, b *symbols.BTF, text string) {
	t.Helper()
	var want []uint64
	for line := range strings.Lines(text) {
		var n uint64
		if _, err := fmt.Sscanf(line, "%d:", &n); err == nil {
			want = append(want, n)
		}
	}
	desc := find(t, b, "struct irq_desc")
	walk := k.MapleTree
	root, err := k.Global(b, "sparse_irqs")
	if errors.Is(err, symbols.ErrNoSymbol) {
		walk = k.XArray
		root, err = k.Global(b, "irq_desc_tree")
	}
	if err != nil {
		t.Fatal(err)
	}
	got := map[uint64]string{}
	for e, err := range walk(t.Context(), root, desc) {
		if err != nil {
			t.Error(err)
			continue
		}
		n, err := e.Uint("irq_data.irq")
		if err != nil || n != e.First || e.Last != e.First {
			t.Errorf("interrupt %d under %d to %d, %v", n, e.First, e.Last, err)
		}
		got[n] = ""
		if action, err := e.Follow("action"); err == nil {
			if got[n], err = action.Text("name"); err != nil {
				t.Error(err)
			}
		}
	}
	for _, n := range want {
		if name, ok := got[n]; !ok || !strings.Contains(text, name) {
			t.Errorf("interrupt %d is %q, %t", n, name, ok)
		}
	}
	if t.Logf("interrupts: %d in /proc, %d descriptors in %v", len(want), len(got), root.Type); len(want) == 0 {
		t.Error("no interrupts")
	}
}

// timers walks the timers of each CPU: they come in the order of their times, and the tree
// says itself which is first.
func timers(t *testing.T, k *kernel.Kernel, b *symbols.BTF) {
	t.Helper()
	timer, count := find(t, b, "struct hrtimer"), 0
	for cpu := range k.CPUs() {
		base, err := k.PerCPU(b, "hrtimer_bases", cpu)
		if err != nil {
			t.Fatal(err)
		}
		for clock := range 4 {
			active, err := base.Member(fmt.Sprintf("clock_base[%d].active.rb_root", clock))
			if err != nil {
				t.Fatal(err)
			}
			last := int64(0)
			for o, err := range k.RBTree(t.Context(), active.Addr, timer, "node.node") {
				if err != nil {
					t.Error(err)
					continue
				}
				expires, err := o.Int("node.expires")
				if err != nil || expires < last {
					t.Errorf("timer %#x at %d behind one at %d, %v", o.Addr, expires, last, err)
				}
				if leftmost, err := active.Pointer("rb_leftmost"); err == nil && last == 0 && leftmost != o.Addr {
					t.Errorf("first timer is %#x, not %#x", o.Addr, leftmost)
				}
				last = expires
				count++
			}
		}
	}
	if t.Logf("timers: %d", count); count == 0 {
		t.Error("no timers")
	}
}

// fairTasks counts what waits for a CPU: the one that runs is not in the tree.
func fairTasks(t *testing.T, k *kernel.Kernel, b *symbols.BTF) {
	t.Helper()
	entity := find(t, b, "struct sched_entity")
	waiting := 0
	for cpu := range k.CPUs() {
		rq, err := k.PerCPU(b, "runqueues", cpu)
		if err != nil {
			t.Fatal(err)
		}
		root, err := rq.Member("cfs.tasks_timeline")
		if err != nil {
			t.Fatal(err)
		}
		f := rq.Fields()
		want, curr, last := int(f.Uint("cfs.nr_queued", "cfs.nr_running")), f.Pointer("cfs.curr"), int64(0)
		if f.Err() != nil {
			t.Fatal(f.Err())
		}
		if curr != 0 {
			want--
		}
		got := 0
		for o, err := range k.RBTree(t.Context(), root.Addr, entity, "run_node") {
			if err != nil {
				t.Error(err)
				continue
			}
			key, err := o.Int("deadline", "vruntime")
			if err != nil || got > 0 && key-last < 0 || o.Addr == curr {
				t.Errorf("entity %#x at %d behind %d, %v", o.Addr, key, last, err)
			}
			last = key
			got++
		}
		if got != want {
			t.Errorf("%d entities wait for CPU %d, %d in the tree", want, cpu, got)
		}
		waiting += got
	}
	t.Logf("fair tasks: %d wait", waiting)
}

// pageCache counts the pages of all files, as each file does itself.
func pageCache(t *testing.T, k *kernel.Kernel, b *symbols.BTF) {
	t.Helper()
	page := find(t, b, "struct page")
	blocks, err := k.Symbol("super_blocks")
	if err != nil {
		t.Fatal(err)
	}
	files, pages, multi := 0, uint64(0), 0
	for sb, err := range k.List(t.Context(), blocks.Addr, find(t, b, "struct super_block"), "s_list") {
		if err != nil {
			t.Fatal(err)
		}
		head, err := sb.Member("s_inodes")
		if err != nil {
			t.Fatal(err)
		}
		for inode, err := range k.List(t.Context(), head.Addr, find(t, b, "struct inode"), "i_sb_list") {
			if err != nil {
				t.Fatal(err)
			}
			root, err := inode.Member("i_data.i_pages")
			if err != nil {
				t.Fatal(err)
			}
			n := uint64(0)
			for e, err := range k.XArray(t.Context(), root, page) {
				if err != nil {
					t.Error(err)
					continue
				}
				if !e.Number { // a number is a page that was there (a shadow) or is in swap
					n += e.Last - e.First + 1
				}
				if e.Last != e.First {
					multi++
				}
			}
			if want, err := inode.Uint("i_data.nrpages"); err != nil || n != want {
				t.Errorf("inode %#x has %d pages, found %d, %v", inode.Addr, want, n, err)
			}
			files++
			pages += n
		}
	}
	if t.Logf("page cache: %d inodes, %d pages, %d entries of several", files, pages, multi); pages == 0 {
		t.Error("no pages")
	}
}
