package triage

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/mm"
	"github.com/kautopsy/kautopsy/oops"
)

// memoryKinds are the crashes that a wrong pointer or an object that is gone explains.
var memoryKinds = map[oops.Kind]bool{
	oops.GeneralProtection: true, oops.PagingFault: true, oops.BadJump: true, oops.UseAfterFree: true, oops.DoubleFree: true,
	oops.ListCorruption: true, oops.Refcount: true, oops.KASAN: true, oops.BusError: true,
}

// object is a freed slab object that a register leads to.
type object struct {
	mm.SlabObject
	where  string // what leads to it
	value  uint64
	poison string // the register whose value stands in it, with where; "" for none
}

// describer tells what addresses are.
func describer(ctx context.Context, m *mm.Memory) func(uint64) mm.Place {
	return func(va uint64) mm.Place { return m.Describe(ctx, va) }
}

// pointer is a value that may lead to the object that a crash is about.
type pointer struct {
	where string // "RAX", "a word of the stack"
	value uint64
}

// maxFreed is how many freed objects are told of.
const maxFreed = 3

// freedObjects are the free slab objects that the registers at a fault lead to, the best
// candidate first. When freed memory was used as a pointer the object itself may be in no
// register any more: then those count that the stack leads to, and whose poison is in one.
func (s *scene) freedObjects(o *oops.Oops, c *cpuScene) (out []object) {
	f, regs, ok := c.fault()
	if !ok || !memoryKinds[o.Kind] && (o.Kind != oops.Bug || o.Source == nil) {
		return nil
	}
	values := reported(regs)
	from := s.pointers(values)
	p := poisonOf(o)
	poisoned := p != nil && p.kind == oops.UseAfterFree
	if poisoned {
		from = append(from, s.stackWords(values)...)
	}
	for _, p := range from {
		x, ok := s.freedAt(p)
		x.poison = s.heldBy(x.SlabObject, values)
		if !ok || !x.inside() && !(poisoned && x.poison != "") {
			continue
		}
		if !slices.ContainsFunc(out, func(y object) bool { return x.Addr == y.Addr }) {
			out = append(out, x)
		}
	}
	slices.SortStableFunc(out, func(a, b object) int { return s.score(b, f, c.task.PID) - s.score(a, f, c.task.PID) })
	return out[:min(len(out), maxFreed)]
}

// inside tells whether the pointer leads into the object itself, not behind its end, where
// the allocator has its own data.
func (x object) inside() bool { return uint64(x.Offset) < x.Cache.ObjectSize }

func (x object) to() string {
	if x.inside() {
		return "to"
	}
	return "behind"
}

// score is how well an object explains a crash of a task in a function: freed by the same
// module, by the same task, its contents in a register, a register that leads to it.
func (s *scene) score(x object, f kernel.Frame, pid int) (n int) {
	if x.Freed != nil && s.table != nil {
		if sym, _, err := s.table.At(x.Freed.Addr); err == nil && sym.Module != "" && sym.Module == f.Symbol.Module {
			n += 8
		}
	}
	if x.Freed != nil && x.Freed.PID == pid {
		n += 4
	}
	if x.poison != "" {
		n += 2
	}
	if x.where != onStack {
		n += 2
	}
	if x.inside() {
		n++
	}
	return n
}

// onStack is where a pointer was found that is in no register.
const onStack = "a word of the stack"

// pointers are the registers that can be pointers.
func (s *scene) pointers(values map[string]oops.Address) (out []pointer) {
	for _, name := range byUse(values) {
		if v := uint64(values[name]); name != "RSP" && name != "SP" && v >= 1<<63 {
			out = append(out, pointer{name, v})
		}
	}
	return out
}

// stackNear is how much of a stack is looked at, below its pointer, where calls that have
// returned left their words, and above it.
const stackNear = 1024

// stackWords are the pointers that stand near the stack pointer, the nearest first.
func (s *scene) stackWords(values map[string]oops.Address) (out []pointer) {
	sp := uint64(cmp.Or(values["RSP"], values["SP"])) &^ 7
	for off := uint64(0); off < stackNear; off += 8 {
		for _, at := range []uint64{sp + off, sp - off - 8} {
			var b [8]byte
			if _, err := s.k.ReadVirt(b[:], at); err != nil {
				continue
			}
			if v := s.order().Uint64(b[:]); v >= 1<<63 {
				out = append(out, pointer{onStack, v})
			}
		}
	}
	return out
}

// freedAt is the free slab object that a pointer leads to.
func (s *scene) freedAt(p pointer) (object, bool) {
	at := s.describe(p.value)
	if at.Slab == nil || !at.Free || at.Slab.Offset < 0 {
		return object{}, false
	}
	return object{SlabObject: *at.Slab, where: p.where, value: p.value}, true
}

// byUse are the names of registers, those first that code uses first: RAX before R8.
func byUse(values map[string]oops.Address) []string {
	return slices.SortedFunc(maps.Keys(values), func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.IndexAny(a, "0123456789"), strings.IndexAny(b, "0123456789")), strings.Compare(a, b))
	})
}

// maxObject is how much of an object is looked at.
const maxObject = 64 << 10

// heldBy finds a poisoned register whose value stands in an object: it was read from there.
func (s *scene) heldBy(o mm.SlabObject, values map[string]oops.Address) string {
	if o.Cache == nil {
		return ""
	}
	b := make([]byte, min(o.Cache.ObjectSize, maxObject))
	n, _ := s.k.ReadVirt(b, o.Addr)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if poisonAt(uint64(values[name])) == nil {
			continue
		}
		for off := 0; off+8 <= n; off += 8 {
			if oops.Address(s.order().Uint64(b[off:])) == values[name] {
				return fmt.Sprintf("%s was read from it, at %#x", name, off)
			}
		}
	}
	return ""
}

func (s *scene) order() binary.ByteOrder { return s.k.Dump().Header.Order }

// freedText says in a sentence which freed object was used, if that is what happened.
func (s *scene) freedText(kind oops.Kind) string {
	if s == nil || len(s.freed) == 0 {
		return ""
	}
	c := s.freed[0].Cache
	switch {
	case kind == oops.DoubleFree:
		return fmt.Sprintf("an object of slab cache %s%s was free already", c.Name, shared(c))
	case kind == oops.UseAfterFree:
		return fmt.Sprintf("it was an object of slab cache %s%s", c.Name, shared(c))
	}
	return ""
}

// shared says that a cache goes by the name of one of several that were merged.
func shared(c *mm.Cache) string {
	if c.Users < 2 {
		return ""
	}
	return fmt.Sprintf(" (%d caches in one)", c.Users)
}

// freedFindings tell of the freed objects, and who freed them where the kernel kept that.
func (s *scene) freedFindings(v *Verdict) (out []Finding) {
	for _, x := range s.freed {
		addr := oops.Address(x.Addr)
		f := Finding{
			ID: "freed-object", Severity: Trace, Confidence: Likely,
			Title:    fmt.Sprintf("%s points %s a freed object of slab cache %s%s", x.where, x.to(), x.Cache.Name, shared(x.Cache)),
			Evidence: []Evidence{{Kind: "memory", Text: s.describe(x.value).Text, Address: &addr}},
		}
		if v.Kind == oops.UseAfterFree || v.Kind == oops.DoubleFree {
			f.Severity = Cause
		}
		if x.poison != "" {
			f.Evidence = append(f.Evidence, Evidence{Kind: "register", Text: x.poison})
		}
		for _, t := range []struct {
			what  string
			track *mm.Track
		}{{"freed", x.Freed}, {"allocated", x.Alloc}} {
			if t.track != nil {
				f.Evidence = append(f.Evidence, s.trackEvidence(t.what, t.track))
			}
		}
		out = append(out, f)
	}
	return out
}

func (s *scene) trackEvidence(what string, t *mm.Track) Evidence {
	addr := oops.Address(t.Addr)
	f := Frame{Address: &addr}
	namer{s.table}.name(&f)
	by := addr.String()
	if f.Symbol != "" {
		by = fmt.Sprintf("%s+%#x", f.Symbol, *f.Offset)
		if f.Module != "" {
			by += " [" + f.Module + "]"
		}
	}
	return Evidence{Kind: "memory", Text: fmt.Sprintf("%s by %s, PID %d on CPU %d", what, by, t.PID, t.CPU), Address: &addr, Symbol: f.Symbol}
}

// longHex is an address in a report's line.
var longHex = regexp.MustCompile(`\b[0-9a-f]{16}\b`)

// listFinding says what the entries are that a report of a corrupt list names: of different
// caches, free, or no memory at all.
func (s *scene) listFinding(o *oops.Oops) []Finding {
	if o.Kind != oops.ListCorruption {
		return nil
	}
	f := Finding{ID: "list-entries", Severity: Cause, Confidence: Likely, Evidence: []Evidence{}}
	caches := map[string]bool{}
	for _, text := range longHex.FindAllString(o.Title+" "+o.Message, -1) {
		v, err := strconv.ParseUint(text, 16, 64)
		a := oops.Address(v)
		if err != nil || slices.ContainsFunc(f.Evidence, func(e Evidence) bool { return *e.Address == a }) {
			continue
		}
		p := s.describe(v)
		if p.Slab != nil {
			caches[p.Slab.Cache.Name+shared(p.Slab.Cache)] = true
		}
		f.Evidence = append(f.Evidence, Evidence{Kind: "memory", Text: fmt.Sprintf("%s: %s%s", a, p.Text, s.links(v)), Address: &a})
	}
	if len(f.Evidence) == 0 {
		return nil
	}
	f.Title = "what the list's addresses are"
	if len(caches) > 0 {
		f.Title = "the list has objects of slab cache " + strings.Join(slices.Sorted(maps.Keys(caches)), " and of ")
	}
	return []Finding{f}
}

// links are the two words of a list entry as they stand in memory.
func (s *scene) links(va uint64) string {
	b := make([]byte, 16)
	if s.k.PtrSize() != 8 {
		return ""
	}
	if _, err := s.k.ReadVirt(b, va); err != nil {
		return ""
	}
	return fmt.Sprintf("; next %#x, prev %#x", s.order().Uint64(b), s.order().Uint64(b[8:]))
}
