package dwarf

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/kautopsy/kautopsy/phys"
)

// ErrNoFrame: no call frame information covers an address. Functions written in assembly
// have none, nor has a file without .debug_frame and .eh_frame.
var ErrNoFrame = fmt.Errorf("no call frame information covers it: %w", phys.ErrUnsupported)

// FrameTable is the call frame information of a file: how the caller's registers are found
// at each address (DWARF 5, 6.4). It keeps where each description begins, 16 bytes for each
// function, and nothing else. It is safe for many goroutines.
//
//	.debug_frame   CIE | FDE | FDE | … | CIE | FDE …
//	CIE            length, id ~0, version, augmentation, [4, 5: address size, segment size],
//	               code and data alignment, return column, instructions
//	FDE            length, offset of its CIE, first address, number of bytes, instructions
//
//	.eh_frame      the same for the run-time system (LSB 10.6): id 0, the CIE of an FDE so
//	               many bytes before the reference, and addresses as augmentation "zR" says
type FrameTable struct {
	f   *File
	s   *section
	va  uint64 // of the section, which addresses of .eh_frame can count from
	eh  bool
	fde []fdeAt // by address

	mu   sync.Mutex
	cies map[uint64]*cie
}

// fdeAt is where the description of [begin, begin+size) is.
type fdeAt struct {
	begin     uint64
	size, off uint32
}

// cie is what the FDEs of a CIE have in common.
type cie struct {
	code, column uint64
	data         int64
	ptrSize      int
	encoding     byte // of addresses, as in .eh_frame
	augmented    bool // FDEs have a length of augmentation
	signal       bool // an interrupted function: its address is exact
	init         buf  // instructions
	row          row  // what they say
}

const (
	maxFrameSection = maxPiece // 2.6 MB in a 6.1 vmlinux
	maxCIEs         = 1 << 12  // that are kept
)

// Frames reads where the call frame information of each function is: .debug_frame, else
// .eh_frame. The error wraps ErrNoFrame where the file has none.
func (f *File) Frames() (*FrameTable, error) {
	for _, name := range []string{".debug_frame", ".eh_frame"} {
		s := f.section(name)
		if s.elf == nil || s.len() == 0 && s.open() == nil {
			continue
		}
		t := &FrameTable{f: f, s: s, eh: name == ".eh_frame", cies: map[uint64]*cie{}}
		for i, es := range f.elf.Sections {
			if es == s.elf {
				t.va = f.place[i]
			}
		}
		if err := t.index(); err != nil {
			return nil, err
		}
		return t, nil
	}
	return nil, fmt.Errorf("neither .debug_frame nor .eh_frame: %w", ErrNoFrame)
}

// index notes where each FDE is. One that cannot be read is left out.
func (t *FrameTable) index() error {
	if t.s.len() > maxFrameSection {
		return wrong(t.s.name, 0, phys.ErrLimit, "%d bytes", t.s.len())
	}
	r, err := t.s.buf(0, t.s.len())
	if err != nil {
		return err
	}
	for r.at < len(r.b) {
		off := r.off()
		e := t.entry(&r)
		if r.err != nil {
			return r.err
		}
		if e.cie == nil || e.body.err != nil {
			continue
		}
		if begin, size := t.extent(&e); size > 0 && size <= 1<<32-1 && e.body.err == nil {
			t.fde = append(t.fde, fdeAt{begin, uint32(size), uint32(off)})
		}
	}
	slices.SortFunc(t.fde, func(a, b fdeAt) int { return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.off, b.off)) })
	t.fde = slices.Clip(t.fde)
	return nil
}

// frameEntry is one FDE, or a CIE, of which cie is nil.
type frameEntry struct {
	cie  *cie
	body buf // behind the reference to the CIE
}

// entry reads the head of an entry and goes on to the next.
func (t *FrameTable) entry(r *buf) (e frameEntry) {
	n, size := r.length()
	if n == 0 || r.err != nil { // the end of .eh_frame
		return e
	}
	e.body = buf{what: r.what, base: r.off(), order: r.order}
	e.body.b = r.take(n)
	at := e.body.off()
	id := e.body.uint(size)
	switch {
	case e.body.err != nil:
	case t.eh && id != 0:
		e.cie = t.cieAt(uint64(at)-id, &e.body)
	case !t.eh && id != ^uint64(0)>>(64-8*size):
		e.cie = t.cieAt(id, &e.body)
	}
	return e
}

// extent reads the addresses of an FDE.
func (t *FrameTable) extent(e *frameEntry) (begin, size uint64) {
	begin = t.pointer(&e.body, e.cie, e.cie.encoding)
	size = t.pointer(&e.body, e.cie, e.cie.encoding&0xf) // a number, relative to nothing
	return begin, size
}

// pointer reads an address as DW_EH_PE_* says (LSB 10.5): its form in the low four bits,
// above them what it counts from.
func (t *FrameTable) pointer(r *buf, c *cie, enc byte) uint64 {
	at := uint64(r.off())
	var v uint64
	switch enc & 0xf {
	case 0:
		v = r.uint(c.ptrSize)
	case 1:
		v = r.uleb()
	case 2:
		v = uint64(r.u16())
	case 3:
		v = uint64(r.u32())
	case 4, 0xc:
		v = r.u64()
	case 9:
		v = uint64(r.sleb())
	case 0xa:
		v = uint64(int16(r.u16()))
	case 0xb:
		v = uint64(int32(r.u32()))
	default:
		r.fail(phys.ErrUnsupported, "address encoding %#x", enc)
	}
	switch enc &^ 0xf {
	case 0:
	case 0x10:
		v += t.va + at
	default:
		r.fail(phys.ErrUnsupported, "address encoding %#x", enc)
	}
	if c.ptrSize == 4 {
		v = uint64(uint32(v))
	}
	return v
}

// cieAt gives the CIE at an offset; why it cannot be read is the error of the FDE.
func (t *FrameTable) cieAt(off uint64, fde *buf) *cie {
	t.mu.Lock()
	c := t.cies[off]
	t.mu.Unlock()
	if c != nil {
		return c
	}
	c, err := t.readCIE(int64(off))
	if err != nil {
		fde.err = err
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.cies) < maxCIEs {
		t.cies[off] = c
	}
	return c
}

// maxFrameEntry bounds an entry: 1 KB is seen.
const maxFrameEntry = 1 << 20

// bytesAt reads one entry.
func (t *FrameTable) bytesAt(off int64) (r buf, err error) {
	err = t.s.decode(off, 512, maxFrameEntry, func(b *buf) error {
		n, _ := b.length()
		b.take(n)
		r = *b
		r.at = 0
		return nil
	})
	return r, err
}

func (t *FrameTable) readCIE(off int64) (*cie, error) {
	r, err := t.bytesAt(off)
	if err != nil {
		return nil, err
	}
	n, size := r.length()
	r.b = r.b[:min(len(r.b), r.at+int(n))]
	if id := r.uint(size); t.eh && id != 0 || !t.eh && id != ^uint64(0)>>(64-8*size) {
		r.fail(phys.ErrCorrupt, "no CIE")
	}
	c := &cie{ptrSize: t.f.PtrSize()}
	version, aug := r.u8(), string(r.text())
	if version != 1 && version != 3 && version != 4 {
		r.fail(phys.ErrUnsupported, "CIE version %d", version)
	}
	if version == 4 {
		c.ptrSize = int(r.u8())
		if seg := r.u8(); seg != 0 || c.ptrSize != 4 && c.ptrSize != 8 {
			r.fail(phys.ErrUnsupported, "addresses of %d bytes, segments of %d", c.ptrSize, seg)
		}
	}
	c.code, c.data = r.uleb(), r.sleb()
	if version == 1 {
		c.column = uint64(r.u8())
	} else {
		c.column = r.uleb()
	}
	t.augmentation(&r, c, aug)
	if r.err == nil {
		c.init = buf{what: r.what, base: r.off(), b: r.b[r.at:], order: r.order}
		x := frameRun{t: t, c: c, limit: ^uint64(0)}
		x.run(c.init)
		c.row, r.err = x.row, errors.Join(r.err, x.err)
	}
	return c, r.err
}

// augmentation reads what .eh_frame adds to a CIE: "z" that there is a length, "R" the
// encoding of addresses, "L" and "P" what C++ needs, "S" a signal frame, "B" signed return
// addresses of arm64.
func (t *FrameTable) augmentation(r *buf, c *cie, aug string) {
	if aug == "" {
		return
	}
	if aug[0] != 'z' {
		r.fail(phys.ErrUnsupported, "augmentation %q", aug)
		return
	}
	c.augmented = true
	n := r.uleb()
	end := r.at + int(min(n, uint64(len(r.b)-r.at)))
	for _, letter := range aug[1:] {
		switch letter {
		case 'R':
			c.encoding = r.u8()
		case 'L':
			r.u8()
		case 'P':
			t.pointer(r, c, r.u8()&0xf)
		case 'S':
			c.signal = true
		case 'B':
		default:
			r.fail(phys.ErrUnsupported, "augmentation %q", aug)
		}
	}
	if r.err == nil {
		r.at = max(r.at, end)
	}
}

// At gives the rules that hold at an address of the file. The error wraps ErrNoFrame where
// no description covers it.
func (t *FrameTable) At(pc uint64) (*Frame, error) {
	i, found := slices.BinarySearchFunc(t.fde, pc, func(d fdeAt, pc uint64) int { return cmp.Compare(d.begin, pc) })
	if !found {
		i--
	}
	if i < 0 || pc-t.fde[i].begin >= uint64(t.fde[i].size) {
		return nil, fmt.Errorf("address %#x: %w", pc, ErrNoFrame)
	}
	r, err := t.bytesAt(int64(t.fde[i].off))
	if err != nil {
		return nil, err
	}
	e := t.entry(&r)
	if err := cmp.Or(r.err, e.body.err); err != nil {
		return nil, err
	}
	begin, _ := t.extent(&e)
	if e.cie.augmented {
		e.body.take(e.body.uleb())
	}
	x := frameRun{t: t, c: e.cie, pc: begin, limit: pc, row: e.cie.row.clone()}
	rest := e.body
	rest.base, rest.b, rest.at = e.body.off(), e.body.b[e.body.at:], 0
	x.run(rest)
	if err := errors.Join(e.body.err, x.err); err != nil {
		return nil, err
	}
	return &Frame{row: x.row, ptrSize: e.cie.ptrSize, order: r.order, Return: int(e.cie.column), Signal: e.cie.signal}, nil
}
