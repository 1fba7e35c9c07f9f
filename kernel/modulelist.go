package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// moduleList is the address of the list head "modules". A kernel whose kallsyms has no
// data symbols (CONFIG_KALLSYMS_ALL off, as Debian's for arm64) does not name it; then a
// struct module is looked for where modules lie, and its list leads to the head.
func (k *Kernel) moduleList(ctx context.Context) (uint64, error) {
	sym, err := k.Symbol("modules")
	if err == nil {
		return sym.Addr, nil
	}
	if !errors.Is(err, symbols.ErrNoSymbol) || k.info == nil {
		return 0, err
	}
	if k.spc == nil {
		return 0, k.spaceErr
	}
	s := &moduleScan{k: k, page: make([]byte, k.PageSize()), word: uint64(k.ptrSize()), order: k.dump.Header.Order, left: maxModulePages}
	for _, a := range k.moduleAreas() {
		head, err := s.run(ctx, a[0], a[1])
		if err == nil || ctx.Err() != nil {
			return head, err
		}
	}
	return 0, fmt.Errorf("kallsyms has no data symbols (CONFIG_KALLSYMS_ALL is off), and no module was found near the kernel: %w", phys.ErrUnsupported)
}

// reach of a call: modules lie within it of the kernel image.
const reach = 2 << 30

// moduleAreas are where modules can lie: where VMCOREINFO says, which arm64 with KASLR
// does not follow, and around the kernel image.
func (k *Kernel) moduleAreas() (areas [][2]uint64) {
	start, ok1 := k.info.Number("MODULES_VADDR")
	end, ok2 := k.info.Number("MODULES_END")
	if ok1 && ok2 && uint64(end-start) <= 2*reach {
		areas = append(areas, [2]uint64{uint64(start), uint64(end)})
	}
	lo, hi := k.spc.ImageRange()
	below := lo - min(lo, reach)
	above := hi + min(reach, -hi-1)
	return append(areas, [2]uint64{below, lo}, [2]uint64{hi, above})
}

// moduleScan looks for a struct module by its shape. In all kernels from 2.6.32 to 7.2 it
// begins so (the words as wide as a pointer):
//
//	0      1         2         3
//	|state | list.next | list.prev | name[64 - one word] |
type moduleScan struct {
	k     *Kernel
	page  []byte
	word  uint64
	order binary.ByteOrder
	left  int // mapped pages that may still be looked at
}

// maxModulePages bounds the scan: 256 MiB of modules with pages of 4 KiB. Damaged tables
// can map everything everywhere.
const maxModulePages = 1 << 16

// hugeStep is how far a scan goes on where a whole table of pages is missing; every
// processor's tables cover a multiple of it.
const hugeStep = 2 << 20

// errNoModule: no module in the area that was looked at.
var errNoModule = errors.New("no module there")

// run scans the mapped pages of [start, end) for a module.
func (s *moduleScan) run(ctx context.Context, start, end uint64) (uint64, error) {
	for va := start; va < end && s.left > 0 && ctx.Err() == nil; {
		step := uint64(len(s.page))
		w, err := s.k.spc.Walk(va)
		if err == nil {
			s.left--
			n, _ := s.k.dump.ReadPhys(s.page, w.Addr)
			if head, ok := s.inPage(va, s.page[:n]); ok {
				return head, nil
			}
		} else if n := len(w.Steps); n == 0 || w.Steps[n-1].Level != "PTE" {
			step = hugeStep - va%hugeStep
		}
		if va += step; va < step { // behind the last address
			break
		}
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return 0, errNoModule
}

// inPage looks for a struct module in one page and follows its list to the head.
func (s *moduleScan) inPage(va uint64, b []byte) (head uint64, ok bool) {
	for off := uint64(0); off+4*s.word <= uint64(len(b)); off += s.word {
		next, first := s.pointer(b[off+s.word:]), b[off+3*s.word]
		if !nameByte(first) || next%s.word != 0 || !s.linked(va+off+s.word, next) {
			continue
		}
		if head, ok = s.follow(va + off + s.word); ok {
			return head, true
		}
	}
	return 0, false
}

func (s *moduleScan) pointer(b []byte) uint64 { return bin.Uint(b[:s.word], s.order) }

// linked tells whether the element behind a list element points back to it.
func (s *moduleScan) linked(at, next uint64) bool {
	back, err := s.k.pointer(next + s.word)
	return err == nil && back == at && next != at
}

// follow goes along the list to the element that lies in the kernel image: the head.
func (s *moduleScan) follow(at uint64) (head uint64, ok bool) {
	for range maxModuleHops {
		next, err := s.k.pointer(at)
		if err != nil || !s.linked(at, next) {
			return 0, false
		}
		if _, image := s.k.spc.Image(next); image {
			return next, true
		}
		at = next
	}
	return 0, false
}

const maxModuleHops = 1 << 14

// nameByte tells whether a module's name can begin with c.
func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}
