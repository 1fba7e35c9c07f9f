package dwarf

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// nameIndex finds the entries that describe types, functions and variables by their names.
// It has those that stand at the top of a unit, and of the same entry in many units (a
// header's struct is in all that include it) the first. It keeps no name: who looks for one
// reads the entries that have its hash.
//
//	record   63            32 31             0
//	         | hash of name  | offset in .debug_info |     sorted, of each kind by itself
//
// A struct that is only declared is a symbols.KindForward, if none of its name is defined.
// Enums without a name are there under the hash of "".
type nameIndex struct {
	kinds [nameKinds][]uint64
}

// nameKinds is the number behind the last of the kinds that have names.
const nameKinds = int(symbols.KindVar) + 1

// named are the tags of entries that are in the index.
func (t Tag) named() (symbols.Kind, bool) {
	switch t {
	case TagStructureType, TagClassType:
		return symbols.KindStruct, true
	case TagUnionType:
		return symbols.KindUnion, true
	case TagEnumerationType:
		return symbols.KindEnum, true
	case TagTypedef:
		return symbols.KindTypedef, true
	case TagBaseType:
		return symbols.KindInt, true
	case TagSubprogram:
		return symbols.KindFunc, true
	case TagVariable:
		return symbols.KindVar, true
	}
	return 0, false
}

// nameHash is FNV-1a of 64 bits. It is in files: another one is another version of them.
func nameHash[T string | []byte](name T) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}

// fold makes 32 bits of a hash.
func fold(h uint64) uint32 { return uint32(h>>32) ^ uint32(h) }

// at gives the offsets of the entries of a kind whose names may be that one, in order.
func (x *nameIndex) at(name string, kind symbols.Kind) []uint64 {
	list := x.kinds[kind]
	h := uint64(fold(nameHash(name))) << 32
	from, _ := slices.BinarySearch(list, h)
	to := from
	for to < len(list) && list[to]>>32 == h>>32 {
		to++
	}
	return list[from:to]
}

// found is one entry that was met.
type found struct {
	name uint64 // hash
	off  uint32
	kind symbols.Kind
	weak bool // a declaration
}

// nameScan is what one goroutine has found: entries by what they say of themselves, the
// first of those that say the same.
type nameScan struct {
	f     *File
	e     Entries
	units []*Unit
	next  *atomic.Int64 // of units
	seen  map[uint64]found
	ctx   context.Context
	tell  func(done, total int) // nil: nobody is told
	err   error
}

const (
	scanUnits = 16 // units that are taken at once
	maxNames  = 8 << 20
)

// scanNames reads all units, on as many processors as there are.
func (f *File) scanNames() (*nameIndex, error) {
	units, err := f.unitList()
	if err != nil {
		return nil, err
	}
	if n := len(units); n > 0 && units[n-1].End > 1<<32-1 {
		return nil, wrong(".debug_info", 1<<32, phys.ErrLimit, "more than 4 GiB")
	}
	f.mu.Lock()
	ctx, tell := f.scanCtx, f.scanTell
	f.mu.Unlock()
	if ctx == nil {
		ctx = context.Background()
	}
	f.section(".debug_str").text(0) // small enough, it is kept whole
	var next atomic.Int64
	var wg sync.WaitGroup
	scans := make([]*nameScan, min(runtime.GOMAXPROCS(0), 8))
	for i := range scans {
		s := &nameScan{f: f, units: units, next: &next, seen: map[uint64]found{}, ctx: ctx}
		if scans[i] = s; i == 0 {
			s.tell = tell
		}
		wg.Go(s.run)
	}
	wg.Wait()
	if tell != nil {
		tell(len(units), len(units))
	}
	all := scans[0].seen
	for i, s := range scans {
		err = cmp.Or(err, s.err)
		for key, n := range s.seen {
			if old, ok := all[key]; i > 0 && (!ok || n.off < old.off) {
				all[key] = n
			}
		}
		s.seen = nil
	}
	if err != nil {
		return nil, fmt.Errorf("names of debug information: %w", err)
	}
	return makeIndex(all), nil
}

// run takes units until there are no more. A unit that cannot be read ends the scan: what
// it has would be said not to exist.
func (s *nameScan) run() {
	for s.err == nil {
		to := int(s.next.Add(scanUnits))
		if to-scanUnits >= len(s.units) {
			return
		}
		if s.err = s.ctx.Err(); s.err != nil {
			return
		}
		if s.tell != nil {
			s.tell(to-scanUnits, len(s.units))
		}
		for _, u := range s.units[to-scanUnits : min(to, len(s.units))] {
			if s.err = s.unit(u); s.err != nil {
				return
			}
		}
	}
}

// unit looks at the children of the unit's first entry.
func (s *nameScan) unit(u *Unit) error {
	e := &s.e
	if err := e.Reset(u); err != nil {
		return err
	}
	for e.Next() {
		if e.Depth == 0 {
			continue
		}
		if kind, ok := e.Tag.named(); ok {
			s.entry(kind)
		}
		e.SkipChildren()
		if len(s.seen) > maxNames {
			return wrong(".debug_info", e.Off, phys.ErrLimit, "more than %d names", maxNames)
		}
	}
	return e.Err()
}

// entry notes the entry that the walk stands on.
func (s *nameScan) entry(kind symbols.Kind) {
	e := &s.e
	d := e.described()
	n := found{off: uint32(e.Off), kind: kind, weak: d.weak}
	switch {
	case kind == symbols.KindEnum && d.name == nil:
		child := *e // an enum without a name is known by its first constant
		child.next, child.depth = d.end, e.Depth+1
		if child.Next() && child.Tag == TagEnumerator {
			d.line = nameHash(child.described().name)
		}
	case kind == symbols.KindVar && d.name == nil && d.spec >= 0:
		decl := *e // the definition of what a header declares
		if decl.GoTo(d.spec) != nil {
			return
		}
		d.name = decl.described().name
	}
	switch {
	case d.name == nil && kind != symbols.KindEnum, kind == symbols.KindFunc && n.weak:
		return
	case n.weak && kind != symbols.KindVar:
		n.kind, d.size, d.line = symbols.KindForward, uint64(kind), 0
	case n.weak:
		d.size, d.line = 0, 0
	}
	n.name = nameHash(d.name)
	s.add(n, d.size, d.line)
}

// add keeps the first of all entries that say the same.
func (s *nameScan) add(n found, size, line uint64) {
	key := n.name
	for _, v := range [...]uint64{uint64(n.kind), size, line} {
		key = (key ^ v) * 0x9e3779b97f4a7c15
		key ^= key >> 29
	}
	if n.weak {
		key = ^key
	}
	if old, ok := s.seen[key]; !ok || n.off < old.off {
		s.seen[key] = n
	}
}

// description is what an entry says of itself without its children.
type description struct {
	name       []byte // nil: none
	size, line uint64
	weak       bool  // a declaration
	spec       int64 // the declaration that it completes, -1: none
	end        int   // the place behind its values
}

// described reads the entry in one pass. The walk then goes on behind its children, if the
// entry says where that is.
func (e *Entries) described() (d description) {
	d.spec = -1
	sibling := int64(-1)
	e.r.at = e.attrs
	for i := range e.abbrev.attrs {
		af := &e.abbrev.attrs[i]
		switch af.attr {
		case AttrName:
			d.name = e.nameBytes(e.u.value(&e.r, af))
		case AttrByteSize:
			d.size = e.u.value(&e.r, af).num
		case AttrDeclLine:
			d.line += e.u.value(&e.r, af).num
		case AttrDeclFile:
			// The unit's own source is file 0 or 1. What stands there is of that unit
			// alone: where another includes it (fs/compat_binfmt_elf.c does), the same
			// line can mean something else.
			if e.u.value(&e.r, af).num <= 1 {
				d.line += uint64(e.u.Off) << 32
			}
		case AttrDeclaration:
			d.weak = e.u.value(&e.r, af).num != 0
		case AttrSpecification:
			if to, err := e.u.value(&e.r, af).Ref(); err == nil {
				d.spec = to
			}
		case AttrSibling:
			if to, err := e.u.value(&e.r, af).Ref(); err == nil {
				sibling = to
			}
		default:
			if af.size >= 0 {
				e.r.take(uint64(af.size))
			} else {
				e.r.skip(e.u, af.form)
			}
		}
	}
	d.end = e.r.at
	if e.r.err == nil {
		e.next = d.end
	}
	if at := sibling - e.r.base; e.Children && at > int64(e.next) && at <= int64(len(e.r.b)) {
		e.next, e.depth = int(at), e.Depth
	}
	return d
}

// nameBytes is the text of a value, not copied where that can be.
func (e *Entries) nameBytes(v Value) []byte {
	switch v.form {
	case FormString:
		return v.bytes
	case FormStrp:
		if s := e.u.f.section(".debug_str"); v.num < uint64(len(s.whole)) {
			r := buf{b: s.whole, at: int(v.num)}
			return r.text()
		}
	}
	t, err := v.Text()
	if err != nil {
		return nil
	}
	return []byte(t)
}

// makeIndex sorts what was found into the index.
func makeIndex(all map[uint64]found) *nameIndex {
	x := &nameIndex{}
	defined := map[uint64]bool{}
	for _, n := range all {
		if !n.weak {
			defined[n.name^uint64(n.kind)] = true
		}
	}
	for _, n := range all {
		switch {
		case n.kind == symbols.KindForward && (defined[n.name^uint64(symbols.KindStruct)] || defined[n.name^uint64(symbols.KindUnion)]):
			continue
		case n.weak && defined[n.name^uint64(n.kind)]:
			continue
		}
		x.kinds[n.kind] = append(x.kinds[n.kind], uint64(fold(n.name))<<32|uint64(n.off))
	}
	for i, list := range x.kinds {
		slices.Sort(list)
		x.kinds[i] = slices.Clip(list)
	}
	return x
}
