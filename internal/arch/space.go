package arch

import (
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
)

// Space translates the kernel's virtual addresses. It has no state after it was made
// and is safe for many goroutines.
type Space interface {
	// Image translates an address of the kernel image. It reads nothing.
	Image(va uint64) (a phys.Addr, ok bool)
	// ImageRange is the run of addresses, the end exclusive, in which the kernel
	// image lies: exact where the page tables tell, else all that it may take.
	ImageRange() (start, end uint64)

	// Direct translates an address of the direct (linear, identity) map of
	// physical memory, and Virt is its inverse. They read nothing, and do not
	// tell whether there is memory.
	Direct(va uint64) (a phys.Addr, ok bool)
	Virt(a phys.Addr) (va uint64, ok bool)

	// Walk translates any address of the kernel by its page tables, and
	// WalkUser one of a process by the tables at pgd. The error is a *WalkError
	// and wraps phys.ErrUnmapped, or the reason why a table could not be read;
	// the steps before it are in the Walk.
	Walk(va uint64) (Walk, error)
	WalkUser(pgd phys.Addr, va uint64) (Walk, error)

	// Strip takes pointer authentication and tags off a code address. It is for
	// addresses that are known to be code: translation takes off the tag byte
	// alone, because a poisoned pointer must not become a good one.
	Strip(va uint64) uint64

	// Describe tells what was found, for people.
	Describe() []Fact
}

// Fact is one thing that is known of an address space.
type Fact struct{ Name, Value string }

// Translate translates by the image's rule, by that of the direct map, and by the page
// tables: the first that applies, the cheapest first. Its error is that of Walk.
func Translate(s Space, va uint64) (phys.Addr, error) {
	if a, ok := s.Image(va); ok {
		return a, nil
	}
	if a, ok := s.Direct(va); ok {
		return a, nil
	}
	w, err := s.Walk(va)
	return w.Addr, err
}

// window is a run of virtual addresses that maps physical memory in one piece:
// pa = va - delta, modulo 2^64. The last byte of the address space is in no window,
// which loses nothing: no kernel maps the addresses that ERR_PTR needs.
type window struct {
	start, end uint64 // half-open; empty when nothing is known
	delta      uint64
}

func (w window) known() bool { return w.start < w.end }

func (w window) phys(va uint64) (phys.Addr, bool) {
	if va < w.start || va >= w.end {
		return 0, false
	}
	return phys.Addr(va - w.delta), true
}

func (w window) virt(a phys.Addr) (uint64, bool) {
	va := uint64(a) + w.delta
	_, ok := w.phys(va)
	return va, ok
}

// saturate is a+b, or the end of the address space.
func saturate(a, b uint64) uint64 {
	if a+b < a {
		return ^uint64(0)
	}
	return a + b
}

// space is the Space of every processor: two windows and a tree of tables.
type space struct {
	image, direct window
	tables        tables
	noTables      error                  // why Walk cannot be, nil when it can; set when tables.format is nil
	canon         func(va uint64) uint64 // takes off a tag, nil where there are none
	strip         func(va uint64) uint64 // takes off pointer authentication, nil likewise
	facts         []Fact
}

func (s *space) canonical(va uint64) uint64 {
	if s.canon == nil {
		return va
	}
	return s.canon(va)
}

// Image translates an address of the kernel image.
func (s *space) Image(va uint64) (phys.Addr, bool) { return s.image.phys(s.canonical(va)) }

// ImageRange is where the kernel image lies.
func (s *space) ImageRange() (start, end uint64) { return s.image.start, s.image.end }

// Direct translates an address of the direct map.
func (s *space) Direct(va uint64) (phys.Addr, bool) { return s.direct.phys(s.canonical(va)) }

// Virt is the address of physical memory in the direct map.
func (s *space) Virt(a phys.Addr) (uint64, bool) { return s.direct.virt(a) }

// Walk translates by the kernel's page tables.
func (s *space) Walk(va uint64) (Walk, error) {
	if s.noTables != nil {
		return Walk{}, &WalkError{VA: va, Err: s.noTables}
	}
	w, err := s.tables.walk(s.canonical(va))
	var we *WalkError
	if errors.As(err, &we) {
		we.VA = va // as the caller spells it, with its tag
	}
	return w, err
}

// WalkUser translates by the page tables of a process.
func (s *space) WalkUser(pgd phys.Addr, va uint64) (Walk, error) {
	if s.tables.format == nil {
		return Walk{}, &WalkError{VA: va, Err: s.noTables}
	}
	t := s.tables
	t.root, t.user = pgd, true
	return t.walk(va)
}

// Strip takes pointer authentication and tags off a code address.
func (s *space) Strip(va uint64) uint64 {
	if s.strip == nil {
		return va
	}
	return s.strip(va)
}

// Describe tells what was found.
func (s *space) Describe() []Fact { return append([]Fact(nil), s.facts...) }

func (s *space) fact(name, format string, args ...any) {
	s.facts = append(s.facts, Fact{name, fmt.Sprintf(format, args...)})
}
