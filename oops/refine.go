package oops

import "strings"

// refinement settles a kind that the headline leaves open by the place of a BUG or WARN in the source, and by
// the function that noticed.
type refinement struct {
	from     Kind
	file     string
	function []string // PC's function; any when empty
	to       Kind
}

// slabFrees are the functions in which the allocator notices that an object is freed twice: BUG_ON(object ==
// freepointer) of the hardened freelist, or a check of its list of free objects.
var slabFrees = []string{
	"kfree", "kmem_cache_free", "kmem_cache_free_bulk", "__slab_free", "do_slab_free", "slab_free",
	"set_freepointer", "free_to_partial_list", "___cache_free", "kfree_sensitive", "kvfree", "__kmem_cache_free",
	"free_block", "cache_free_debugcheck",
}

var refinements = []refinement{
	{Bug, "lib/list_debug.c", nil, ListCorruption},
	{Warn, "lib/list_debug.c", nil, ListCorruption},
	{Bug, "mm/slub.c", slabFrees, DoubleFree},
	{Bug, "mm/slab.c", slabFrees, DoubleFree},
	{Bug, "lib/string.c", nil, Fortify},
	{Bug, "lib/string_helpers.c", nil, Fortify},
	{Warn, "lib/string_helpers.c", nil, Fortify},
	{Bug, "mm/usercopy.c", nil, Fortify},
	{Warn, "lib/refcount.c", nil, Refcount},
	{Bug, "arch/x86/kernel/cet.c", nil, BadJump},
	{Warn, "kernel/locking/lockdep.c", nil, Lockdep},
}

// slubTexts tell what SLUB's own reports are about; the others stay what their headline says, a bug.
var slubTexts = map[string]Kind{
	"Poison overwritten": UseAfterFree, "already free": DoubleFree, "already freed": DoubleFree,
}

// refine completes a report once all its lines are read.
func (o *Oops) refine() {
	o.adoptBacktrace()
	o.fillFromReport()
	o.Kind = o.refined()
}

// refined is the kind, settled by what the report's lines say beyond its headline.
func (o *Oops) refined() Kind {
	if o.PC != nil && o.PC.Symbol == "sysrq_handle_crash" && o.class != classPanic {
		return SysRq
	}
	switch o.Kind {
	case Bug, Warn:
		return o.byPlace()
	case InvalidOpcode:
		if strings.Contains(o.Code, "<0f> 0b") { // ud2: a BUG() whose line is lost or not compiled in
			return Bug
		}
	case GeneralProtection:
		if o.noted("KASAN: null-ptr-deref") {
			return NullDereference
		}
	case NullDereference, PagingFault, Unknown:
		return o.byFault()
	}
	return o.Kind
}

func (o *Oops) byPlace() Kind {
	for text, kind := range slubTexts {
		if o.Kind == Bug && strings.Contains(o.Title, text) {
			return kind
		}
	}
	for _, r := range refinements {
		if r.from == o.Kind && o.Source != nil && strings.HasSuffix(o.Source.File, r.file) && o.isIn(r.function) {
			return r.to
		}
	}
	return o.Kind
}

// isIn reports whether PC is in one of the functions; true for none.
func (o *Oops) isIn(functions []string) bool {
	if len(functions) == 0 {
		return true
	}
	if o.PC == nil {
		return false
	}
	name, _, _ := strings.Cut(o.PC.Symbol, ".")
	for _, f := range functions {
		if f == name {
			return true
		}
	}
	return false
}

// byFault tells a jump to nowhere from an access to nowhere, and the kind of a die line without a headline.
func (o *Oops) byFault() Kind {
	f := o.Fault
	if f == nil {
		return o.Kind
	}
	nowhere := o.PC != nil && o.PC.Symbol == "" && o.PC.Context != InUser
	same := nowhere && f.Address != nil && o.PC.Address != nil && *f.Address == *o.PC.Address
	if f.Access == "execute" || same {
		return BadJump
	}
	if o.Kind != Unknown {
		return o.Kind
	}
	if cr2, ok := o.Registers["CR2"]; ok && f.Address == nil {
		f.Address = &cr2
		if cr2 < 4096 {
			return NullDereference
		}
	}
	return PagingFault
}

func (o *Oops) noted(text string) bool {
	if o.Fault == nil {
		return false
	}
	for _, n := range o.Fault.Notes {
		if strings.Contains(n, text) {
			return true
		}
	}
	return false
}

// adoptBacktrace makes the backtrace of the CPU that is stuck the report's own, when the one that noticed it
// printed nothing of itself.
func (o *Oops) adoptBacktrace() {
	if o.Comm != "" || o.Trace != nil {
		return
	}
	for i, b := range o.Backtraces {
		if len(o.StuckCPUs) == 0 || b.CPU != nil && *b.CPU == o.StuckCPUs[0] {
			b.Modules = append(b.Modules, o.Modules...)
			o.State = b
			o.Backtraces = append(o.Backtraces[:i:i], o.Backtraces[i+1:]...)
			return
		}
	}
}

// fillFromReport takes what a WARNING: or BUG: line tells where no line of its own does:
//
//	WARNING: CPU: 0 PID: 188 at FILE:LINE fn+0x16/0x30 [mod]
//	WARNING: FILE:LINE at fn+0x16/0x30 [mod], CPU#0: comm/188      since 6.19
//	BUG: KASAN: slab-use-after-free in fn+0x16/0x30 [mod]
//	watchdog: BUG: soft lockup - CPU#1 stuck for 11s! [comm:190]
func (o *Oops) fillFromReport() {
	s := o.report
	if o.PC == nil {
		o.PC = place(s)
	}
	if _, in, ok := strings.Cut(o.Panic, "Kernel stack is corrupted in: "); ok && o.PC == nil {
		o.PC = place(in)
	}
	if o.Comm != "" || s == "" {
		return
	}
	if n := intAfter(s, "CPU: "); n != nil && o.CPU == nil {
		o.CPU, o.PID = n, intAfter(s, "PID: ")
	}
	if n := intAfter(s, "CPU#"); n != nil && o.CPU == nil {
		o.CPU = n
	}
	if _, who, ok := cutLast(s, "! ["); ok {
		task := newTask(strings.TrimSuffix(who, "]"), 0)
		o.Comm, o.PID = task.Comm, task.PID
	} else if _, who, ok := strings.Cut(s, ": "); ok && strings.Contains(s, ", CPU#") {
		_, who, _ = cutLast(who, ": ")
		if comm, pid, ok := cutLast(who, "/"); ok {
			task := newTask(comm+":"+pid, 0)
			o.Comm, o.PID = task.Comm, task.PID
		}
	}
}

// place finds fn+0x10/0x20 [mod] in the midst of a line.
func place(s string) *Frame {
	plus := strings.Index(s, "+0x")
	if plus <= 0 {
		return nil
	}
	start := plus
	for start > 0 && isSymbol(s[start-1]) {
		start--
	}
	f, _, ok := cutPlace(s[start:])
	if !ok || f.Symbol == "" {
		return nil
	}
	return &f
}

// sourceEnds are the names of files in which BUG and WARN stand.
var sourceEnds = []string{".c:", ".h:", ".S:", ".rs:"}

// source finds FILE:LINE in a headline.
func source(s string) *Source {
	for _, end := range sourceEnds {
		i := strings.Index(s, end)
		if i < 0 {
			continue
		}
		n, _, ok := cutInt(s[i+len(end):])
		if !ok {
			continue
		}
		start := strings.LastIndexByte(s[:i], ' ') + 1
		return &Source{File: s[start : i+len(end)-1], Line: n}
	}
	return nil
}
