package symbols

import "fmt"

// At gives what lies at a byte of the type, each as a path that Member takes: the members,
// down to numbers and pointers, that have this byte. There is more than one where unions
// have it, and one without a name for a type that is no struct. Bitfields are left out. An
// offset behind the end leads into a flexible array, if there is one.
func (t *Type) At(off uint64) []Member {
	f := finder{left: maxVisits}
	f.at(t.Whole(), off, 0)
	return f.found
}

// maxAlternatives bounds what unions may have at one offset.
const maxAlternatives = 16

// finder looks for what lies at an offset.
type finder struct {
	found []Member
	left  int // members that may still be looked at
}

// at looks into m, whose Offset and Name are those from the outermost type on; off is in m.
func (f *finder) at(m Member, off uint64, depth int) {
	t := m.Type().Underlying()
	switch {
	case depth > maxNesting || f.left < 0 || len(f.found) == maxAlternatives:
	case t.Aggregate():
		f.left -= len(t.Members)
		for _, inner := range t.Members {
			from, size := inner.Bytes()
			endless := inner.Type().Underlying().Kind == KindArray && size == 0
			if inner.Bits != 0 || off < from || off >= from+size && !endless {
				continue
			}
			inner.Offset += m.Offset
			switch {
			case inner.Name == "":
				inner.Name = m.Name
			case m.Name != "":
				inner.Name = m.Name + "." + inner.Name
			}
			f.at(inner, off-from, depth+1)
		}
	case t.Kind == KindArray:
		size := t.Elem().Size()
		if size == 0 || off/size >= 1<<32 {
			return
		}
		i := off / size
		m.Name, m.Offset, m.Ref = fmt.Sprintf("%s[%d]", m.Name, i), m.Offset+8*i*size, t.elem
		f.at(m, off-i*size, depth+1)
	case off < t.Size():
		f.found = append(f.found, m)
	}
}
