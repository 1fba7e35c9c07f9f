package mm

import (
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// MemInfo is what /proc/meminfo says, name by name, in its order. Names that the kernel does
// not have, or whose numbers cannot be known from its memory, are not there.
type MemInfo struct {
	Lines    []MemLine
	PageSize uint64
	Missing  []kernel.Missing
}

// MemLine is one line of /proc/meminfo.
type MemLine struct {
	Name  string // "MemTotal"
	Value uint64 // bytes, or how many for HugePages_…
}

// Get is the value of a name.
func (i *MemInfo) Get(name string) (uint64, bool) {
	for _, l := range i.Lines {
		if l.Name == name {
			return l.Value, true
		}
	}
	return 0, false
}

// statLines are the lines that are sums of counters, in pages (fs/proc/meminfo.c).
var statLines = map[string][]string{
	"Active(anon)": {"NR_ACTIVE_ANON"}, "Inactive(anon)": {"NR_INACTIVE_ANON"},
	"Active(file)": {"NR_ACTIVE_FILE"}, "Inactive(file)": {"NR_INACTIVE_FILE"},
	"Active": {"NR_ACTIVE_ANON", "NR_ACTIVE_FILE"}, "Inactive": {"NR_INACTIVE_ANON", "NR_INACTIVE_FILE"},
	"Unevictable": {"NR_UNEVICTABLE"}, "Mlocked": {"NR_MLOCK"}, "MemFree": {"NR_FREE_PAGES"},
	"Dirty": {"NR_FILE_DIRTY"}, "Writeback": {"NR_WRITEBACK"}, "Mapped": {"NR_FILE_MAPPED"}, "Shmem": {"NR_SHMEM"},
	"PageTables": {"NR_PAGETABLE"}, "SecPageTables": {"NR_SECONDARY_PAGETABLE"},
	"NFS_Unstable": {"NR_UNSTABLE_NFS"}, "Bounce": {"NR_BOUNCE"}, "WritebackTmp": {"NR_WRITEBACK_TEMP"},
	"CmaFree": {"NR_FREE_CMA_PAGES"}, "Unaccepted": {"NR_UNACCEPTED"},
	"Balloon": {"NR_BALLOON_PAGES"}, "GPUActive": {"NR_GPU_ACTIVE"}, "GPUReclaim": {"NR_GPU_RECLAIM"},
}

// hugeLines are counters of huge pages: of whole ones until 5.11, of pages since.
var hugeLines = map[string]string{
	"AnonHugePages": "NR_ANON_THPS", "ShmemHugePages": "NR_SHMEM_THPS", "ShmemPmdMapped": "NR_SHMEM_PMDMAPPED",
	"FileHugePages": "NR_FILE_THPS", "FilePmdMapped": "NR_FILE_PMDMAPPED",
}

// meminfoOrder is the order of the lines.
var meminfoOrder = []string{
	"MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapCached", "Active", "Inactive",
	"Active(anon)", "Inactive(anon)", "Active(file)", "Inactive(file)", "Unevictable", "Mlocked", "SwapTotal", "SwapFree",
	"Dirty", "Writeback", "AnonPages", "Mapped", "Shmem", "KReclaimable", "Slab", "SReclaimable", "SUnreclaim",
	"KernelStack", "PageTables", "SecPageTables", "NFS_Unstable", "Bounce", "WritebackTmp", "CommitLimit", "Committed_AS",
	"VmallocUsed", "Percpu", "HardwareCorrupted", "AnonHugePages", "ShmemHugePages", "ShmemPmdMapped", "FileHugePages",
	"FilePmdMapped", "CmaTotal", "CmaFree", "Unaccepted", "Balloon", "GPUActive", "GPUReclaim",
	"HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp", "Hugepagesize", "Hugetlb",
	"DirectMap4k", "DirectMap2M", "DirectMap1G",
}

// meminfo is a MemInfo that is being made.
type meminfo struct {
	m     *Memory
	ctx   context.Context
	stats *Vmstat
	lines map[string]uint64
	lack  []kernel.Missing
}

// MemInfo adds up the kernel's counters of memory. What the CPUs have not yet added to them is
// in the numbers, which the kernel itself leaves out.
func (m *Memory) MemInfo(ctx context.Context) MemInfo {
	i := &meminfo{m: m, ctx: ctx, lines: make(map[string]uint64)}
	stats, err := m.Vmstat(ctx)
	if i.stats = stats; stats == nil {
		i.stats = &Vmstat{}
	}
	i.miss("counters", err)
	for name, of := range statLines {
		i.sum(name, of...)
	}
	i.huge()
	i.totals()
	i.cache()
	i.kernelMemory()
	i.swap()
	i.hugetlb()
	i.commit()
	i.available()
	i.directMap()
	out := MemInfo{PageSize: uint64(m.k.PageSize()), Missing: i.lack}
	for _, name := range meminfoOrder {
		if v, ok := i.lines[name]; ok {
			out.Lines = append(out.Lines, MemLine{name, v})
		}
	}
	return out
}

// miss notes what a line lacks. A variable that the kernel does not have is no loss.
func (i *meminfo) miss(what string, err error) {
	if err != nil && !errors.Is(err, symbols.ErrNoSymbol) {
		i.lack = append(i.lack, kernel.NewMissing(what, err, ""))
	}
}

// pages sets a line, in pages; what is below 0 for a moment is 0.
func (i *meminfo) pages(name string, n int64) {
	i.lines[name] = uint64(max(0, n)) * uint64(i.m.k.PageSize())
}

// sum sets a line that is a sum of counters, if the kernel has them all.
func (i *meminfo) sum(name string, of ...string) {
	total := int64(0)
	for _, stat := range of {
		n, ok := i.stats.Get(stat)
		if !ok {
			return
		}
		total += n
	}
	i.pages(name, total)
}

// stat is the first of the counters that the kernel has.
func (i *meminfo) stat(names ...string) (n int64, ok bool) {
	for _, name := range names {
		if n, ok = i.stats.Get(name); ok {
			break
		}
	}
	return n, ok
}

// huge sets the lines about transparent huge pages. Their counters have been in pages since
// 5.12 (69473e5de873 and others), which is also when NR_SWAPCACHE came (b6038942480e).
func (i *meminfo) huge() {
	unit := int64(1)
	if _, ok := i.stats.Get("NR_SWAPCACHE"); !ok {
		unit = 1 << (i.m.pageShift() - 3) // pages of a huge page: one table of entries
	}
	for name, stat := range hugeLines {
		if n, ok := i.stats.Get(stat); ok {
			i.pages(name, n*unit)
		}
	}
}

// totals sets what single variables say.
func (i *meminfo) totals() {
	for _, v := range []struct {
		line  string
		names []string
	}{
		{"MemTotal", []string{"_totalram_pages", "totalram_pages"}},
		{"HardwareCorrupted", []string{"num_poisoned_pages"}},
		{"CmaTotal", []string{"totalcma_pages"}},
		{"SwapTotal", []string{"total_swap_pages"}},
		{"SwapFree", []string{"nr_swap_pages"}},
	} {
		n, err := i.m.long(v.names...)
		i.miss(v.line, err)
		if err == nil {
			i.pages(v.line, n)
		}
	}
	if units, err := i.m.int("pcpu_nr_units"); err == nil {
		n, err := i.m.int("pcpu_nr_populated")
		i.miss("Percpu", err)
		i.pages("Percpu", n*units)
	}
	used, ok := i.stats.Get("NR_VMALLOC") // 7.x
	if !ok {
		n, err := i.m.long("nr_vmalloc_pages")
		used, ok = n, err == nil
	}
	if ok {
		i.pages("VmallocUsed", used)
	}
}

// cache sets what files have in memory: the page cache without the swap cache and without
// that of block devices, which Buffers counts.
func (i *meminfo) cache() {
	buffers, err := i.m.blockDevicePages(i.ctx)
	i.miss("Buffers", err)
	if err == nil {
		i.pages("Buffers", buffers)
	}
	swapped, ok := i.stats.Get("NR_SWAPCACHE") // 5.12 on
	if !ok {
		swapped, err = i.m.swapCachePages()
		i.miss("SwapCached", err)
		ok = err == nil
	}
	if ok {
		i.pages("SwapCached", swapped)
	}
	if files, ok := i.stats.Get("NR_FILE_PAGES"); ok {
		i.pages("Cached", files-swapped-buffers)
	}
	if n, ok := i.stat("NR_ANON_MAPPED", "NR_ANON_PAGES"); ok {
		i.pages("AnonPages", n)
	}
}

// kernelMemory sets what the kernel uses for itself. NR_SLAB_…_B stand in pages, whatever
// they are called.
func (i *meminfo) kernelMemory() {
	reclaimable, ok := i.stat("NR_SLAB_RECLAIMABLE_B", "NR_SLAB_RECLAIMABLE")
	unreclaimable, ok2 := i.stat("NR_SLAB_UNRECLAIMABLE_B", "NR_SLAB_UNRECLAIMABLE")
	if ok && ok2 {
		i.pages("SReclaimable", reclaimable)
		i.pages("SUnreclaim", unreclaimable)
		i.pages("Slab", reclaimable+unreclaimable)
	}
	if n, ok := i.stats.Get("NR_KERNEL_MISC_RECLAIMABLE"); ok { // 4.20 on
		i.pages("KReclaimable", reclaimable+n)
	}
	if n, ok := i.stats.Get("NR_KERNEL_STACK_KB"); ok { // 4.9 on
		i.lines["KernelStack"] = uint64(max(0, n)) * 1024
	}
}

// swap sets the lines of a kernel that was built without swap, and has no variables for it.
func (i *meminfo) swap() {
	if !i.m.built("si_swapinfo") {
		i.pages("SwapTotal", 0)
		i.pages("SwapFree", 0)
	}
}

// hugetlb sets what the default size of huge pages says, and the memory of all sizes.
func (i *meminfo) hugetlb() {
	ts, err := i.m.k.Types()
	if err != nil {
		return
	}
	states, err := i.m.k.Global(ts, "hstates")
	n, err2 := i.m.int("hugetlb_max_hstate")
	def, err3 := i.m.int("default_hstate_idx")
	if err = errors.Join(err, err2, err3); err != nil {
		i.miss("HugePages", err)
		return
	}
	const most = 64
	if n < 0 || n > most {
		i.miss("HugePages", fmt.Errorf("hugetlb_max_hstate is %d: %w", n, phys.ErrCorrupt))
		return
	}
	page, all := uint64(i.m.k.PageSize()), uint64(0)
	for at := range uint64(n) {
		h, err := states.Index(at)
		if err != nil {
			i.miss("HugePages", err)
			return
		}
		f := h.Fields()
		size := page << min(f.Uint("order"), 32)
		total := f.Uint("nr_huge_pages")
		all += total * size
		if at == uint64(def) {
			i.lines["HugePages_Total"], i.lines["HugePages_Free"] = total, f.Uint("free_huge_pages")
			i.lines["HugePages_Rsvd"], i.lines["HugePages_Surp"] = f.Uint("resv_huge_pages"), f.Uint("surplus_huge_pages")
			i.lines["Hugepagesize"] = size
		}
		i.miss("HugePages", f.Err())
	}
	i.lines["Hugetlb"] = all
}

// commit sets how much memory was promised, and how much may be.
func (i *meminfo) commit() {
	i.commitLimit()
	ts, err := i.m.k.Types()
	if err != nil {
		return
	}
	o, err := i.m.k.Global(ts, "vm_committed_as")
	var n int64
	if err == nil {
		n, err = i.m.percpuCounter(o)
	}
	if i.miss("Committed_AS", err); err == nil {
		i.pages("Committed_AS", n)
	}
}

// commitLimit sets what vm_commit_limit says: a part of memory, or so many KiB, and all swap.
func (i *meminfo) commitLimit() {
	page := int64(i.m.k.PageSize())
	total, ok := i.lines["MemTotal"]
	swap, ok2 := i.lines["SwapTotal"]
	ratio, err := i.m.int("sysctl_overcommit_ratio")
	limit, err2 := i.m.long("sysctl_overcommit_kbytes") // 3.14 on
	i.miss("CommitLimit", err)
	if !ok || !ok2 || err != nil {
		return
	}
	if err2 == nil && limit != 0 {
		limit = limit * 1024 / page
	} else {
		limit = (int64(total) - int64(i.lines["Hugetlb"])) / page * ratio / 100
	}
	i.pages("CommitLimit", limit+int64(swap)/page)
}

// percpuCounter is the sum of a struct percpu_counter: what it has itself, and what CPUs
// have for it. Kernels for one processor have no parts.
func (m *Memory) percpuCounter(o kernel.Object) (int64, error) {
	n, err := o.Int("count")
	if err != nil || !o.Has("counters") {
		return n, err
	}
	for _, cpu := range m.k.PossibleCPUs() {
		part, err := o.PerCPU(cpu, "counters")
		if err != nil {
			return n, err
		}
		held, err := part.Int()
		if err != nil {
			return n, err
		}
		n += held
	}
	return n, nil
}

// available estimates what a new program could use without swapping, as si_mem_available
// does (34e431b0ae39, 3.14).
func (i *meminfo) available() {
	reserve, err := i.m.long("totalreserve_pages")
	nodes, nerr := i.m.Nodes(i.ctx)
	if i.miss("MemAvailable", errors.Join(err, nerr)); err != nil || nerr != nil {
		return
	}
	low := int64(0)
	for _, n := range nodes {
		for _, z := range n.Zones {
			low += int64(z.Low)
		}
	}
	free, ok := i.stat("NR_FREE_PAGES")
	active, ok2 := i.stat("NR_ACTIVE_FILE")
	inactive, ok3 := i.stat("NR_INACTIVE_FILE")
	slab, ok4 := i.stat("NR_SLAB_RECLAIMABLE_B", "NR_SLAB_RECLAIMABLE")
	if !ok || !ok2 || !ok3 || !ok4 {
		return
	}
	other, _ := i.stat("NR_KERNEL_MISC_RECLAIMABLE") // 4.20 on
	cached, kept := active+inactive, slab+other
	i.pages("MemAvailable", free-reserve+cached-min(cached/2, low)+kept-min(kept/2, low))
}

// directMap sets how the direct map is made, on x86 (direct_pages_count).
func (i *meminfo) directMap() {
	sym, err := i.m.k.Symbol("direct_pages_count")
	if err != nil || i.m.k.Machine() != "x86_64" {
		return
	}
	for level, l := range []struct {
		name string
		size uint64
	}{{"DirectMap4k", 4 << 10}, {"DirectMap2M", 2 << 20}, {"DirectMap1G", 1 << 30}} {
		n, err := i.m.word(sym.Addr + uint64(level+1)*8) // PG_LEVEL_4K is 1
		if err != nil {
			i.miss(l.name, err)
			return
		}
		i.lines[l.name] = n * l.size
	}
}
