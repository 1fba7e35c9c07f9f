package vmcore

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/internal/arch"
	"github.com/kautopsy/kautopsy/phys"
)

// The kernel keeps two copies of its VMCOREINFO: the text alone at the start of a page, and
// the same as an ELF note, whose text begins 24 bytes into its allocation. Copies at other
// places are somebody's file or buffer.
var (
	infoStart  = []byte("OSRELEASE=")
	infoPlaces = []int{0, 24}
)

// kernelPage is the unit in which the copies are aligned; pages of 16 and 64 KiB are
// multiples of it.
const kernelPage = 4096

// maxInfo bounds the text of a copy: one page in every kernel so far.
const maxInfo = 64 << 10

// scanInfo looks for VMCOREINFO in the dump's memory. Of several copies (a crashed and a
// capture kernel, pages that quote one) the first wins whose page tables can be right:
// they translate the kernel's _stext to where the image's own rule puts it.
func (d *Dump) scanInfo(ctx context.Context) (*VMCoreInfo, error) {
	var first *VMCoreInfo
	for page, err := range d.Pages(ctx) {
		if err != nil {
			var pe *phys.PageError
			if errors.As(err, &pe) {
				continue
			}
			return first, err
		}
		for _, v := range d.infoIn(page) {
			if d.provesItself(v) {
				return v, nil
			}
			if first == nil {
				first = v
			}
		}
	}
	if first == nil {
		return nil, ErrNoVMCoreInfo
	}
	return first, nil
}

// infoIn finds the copies of VMCOREINFO that begin in a page.
func (d *Dump) infoIn(page Page) (found []*VMCoreInfo) {
	for at := 0; at+kernelPage <= len(page.Data); at += kernelPage {
		for _, place := range infoPlaces {
			if !bytes.HasPrefix(page.Data[at+place:], infoStart) {
				continue
			}
			a := phys.Addr(uint64(page.PFN)*uint64(d.PageSize()) + uint64(at+place))
			if v := d.infoAt(a); v != nil {
				found = append(found, v)
			}
		}
	}
	return found
}

// infoAt reads the text at a physical address up to its first NUL; nil if it is not one.
func (d *Dump) infoAt(a phys.Addr) *VMCoreInfo {
	buf := make([]byte, maxInfo)
	n, _ := d.ReadPhys(buf, a)
	text := buf[:n]
	if i := bytes.IndexByte(text, 0); i >= 0 {
		text = text[:i]
	}
	if !bytes.Contains(text, []byte("\nPAGESIZE=")) || !bytes.Contains(text, []byte("\nSYMBOL(")) {
		return nil
	}
	v, err := labelled(bytes.Clone(text), fmt.Sprintf("memory at %#x", uint64(a)))
	if err != nil {
		return nil
	}
	return v
}

// provesItself tells whether the page tables that v names translate _stext to where the
// image's rule puts it.
func (d *Dump) provesItself(v *VMCoreInfo) bool {
	stext, ok := v.Symbol("_stext")
	a, err := d.Arch()
	if !ok || err != nil {
		return false
	}
	space, err := a.Space(d.Hints(v), d)
	if err != nil {
		return false
	}
	image, ok := space.Image(stext)
	walk, err := space.Walk(stext)
	return ok && err == nil && walk.Addr == image
}

// Hints are what translating the kernel's addresses starts from.
func (d *Dump) Hints(v *VMCoreInfo) arch.Hints {
	h := arch.Hints{
		Order: d.Header.Order, PhysBase: d.Header.PhysBase,
		MaxPhys: phys.PageSpan(0, uint64(d.MaxPFN()), d.PageSize()).End,
	}
	for _, s := range d.Header.Segments {
		h.Segments = append(h.Segments, arch.Segment(s))
	}
	if cpus, _ := d.CPUs(); len(cpus) > 0 && cpus[0].State != nil {
		h.CR3 = cpus[0].State.CR[3]
	}
	if v != nil {
		h.PageSize, h.Number, h.Symbol, h.Hex = v.PageSize(), v.Number, v.Symbol, v.Hex
	}
	return h
}
