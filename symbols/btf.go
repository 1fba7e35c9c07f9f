package symbols

import (
	"fmt"
	"iter"
	"strings"
	"sync"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// BTF is the BPF Type Format: the types that a kernel built with CONFIG_DEBUG_INFO_BTF (5.2
// on) carries in its read-only data, and each module beside it (5.11 on).
//
// Sources: include/uapi/linux/btf.h, kernel/bpf/btf.c, Documentation/bpf/btf.rst.
//
//	btf_header  0       2         3       4         8          12         16        20
//	            | magic | version | flags | hdr_len | type_off | type_len | str_off | str_len |
//	  7.2 on    24           32
//	            | layout_off | layout_len |            hdr_len says whether they are there
//
//	types       btf_type | … | btf_type | … | …       without gaps; numbered from 1 on
//	strings     NUL, then names, each with its NUL    a name is an offset from here
//	layout      | info_sz | elem_sz | flags |         4 bytes for each kind from 0 on
//
//	btf_type    0          4      8              12
//	            | name_off | info | size or type | by kind: see btf_kind.go
//	  info      flag 31 | kind 30…24 | vlen 23…0      before 7.2 the kind had 5 bits, vlen 16,
//	                                                  and the others were 0
//
// Split BTF, as of modules, goes on where its base ends: its first type has the number
// behind the last of the base, its first string the offset behind the strings of the base.
//
// A BTF is made with the place of each type in memory and nothing else, 4 bytes for each. A
// type is read when it is asked for, and kept. Nothing in it is believed: an offset may lead
// anywhere, a struct contain itself, a typedef be one of itself.
type BTF struct {
	abi     ABI
	base    *BTF
	first   TypeID   // number of the first type
	types   *block   // the types as they are
	at      []uint32 // where in types each type begins, and where the last one ends
	strings *block   // for its gaps: what it holds is text
	text    string
	textAt  uint64 // bytes of strings in the base, before the first of text
	layout  *block
	lost    error // why types are missing behind the last one

	names typeNames // made by the first question for a name
	mu    sync.RWMutex
	made  map[TypeID]*Type
}

const (
	btfMagic = 0xeb9f
	// maxBTF bounds the memory that is read for types: 9 MB are seen.
	maxBTF = 32 << 20
	// btfTypeSize is what every type takes at least.
	btfTypeSize = 12
)

// btfHeader is struct btf_header.
type btfHeader struct {
	magic, version, hdrLen                                 uint64
	typeOff, typeLen, strOff, strLen, layoutOff, layoutLen uint64
}

// btfHeaders declares it; version 1 has the fields that came with 7.2.
func btfHeaders() bin.Layout[btfHeader] {
	return bin.Layout[btfHeader]{Name: "btf_header", Fields: []bin.Field[btfHeader]{
		{Name: "magic", Kind: bin.U16, Set: func(h *btfHeader, v uint64) { h.magic = v }},
		{Name: "version", Kind: bin.U8, Set: func(h *btfHeader, v uint64) { h.version = v }},
		{Name: "flags", Kind: bin.U8, Set: func(*btfHeader, uint64) {}},
		{Name: "hdr_len", Kind: bin.U32, Set: func(h *btfHeader, v uint64) { h.hdrLen = v }},
		{Name: "type_off", Kind: bin.U32, Set: func(h *btfHeader, v uint64) { h.typeOff = v }},
		{Name: "type_len", Kind: bin.U32, Set: func(h *btfHeader, v uint64) { h.typeLen = v }},
		{Name: "str_off", Kind: bin.U32, Set: func(h *btfHeader, v uint64) { h.strOff = v }},
		{Name: "str_len", Kind: bin.U32, Set: func(h *btfHeader, v uint64) { h.strLen = v }},
		{Name: "layout_off", Kind: bin.U32, Since: 1, Set: func(h *btfHeader, v uint64) { h.layoutOff = v }},
		{Name: "layout_len", Kind: bin.U32, Since: 1, Set: func(h *btfHeader, v uint64) { h.layoutLen = v }},
	}}
}

// ReadBTF reads the types at [start, end): what __start_BTF and __stop_BTF say, or the data
// of a struct btf of a module with that of the kernel as its base.
//
// When part of the types is absent there is both a BTF, which has those before the gap, and
// an error that wraps a reason of package phys.
func ReadBTF(mem Memory, abi ABI, start, end uint64, base *BTF) (*BTF, error) {
	b := &BTF{abi: abi, base: base, first: 1, made: map[TypeID]*Type{}}
	if base != nil {
		if base.lost != nil {
			return nil, fmt.Errorf("BTF at %#x: the types that it goes on from: %w", start, base.lost)
		}
		b.first, b.textAt = base.end(), base.textAt+uint64(len(base.text))
	}
	h, err := readBTFHeader(mem, abi, start, end)
	if err == nil {
		err = b.readSections(mem, h, start, end)
	}
	if err != nil {
		return nil, fmt.Errorf("BTF at %#x: %w", start, err)
	}
	if b.lost = b.index(); b.lost != nil {
		b.lost = fmt.Errorf("BTF at %#x, types behind number %d: %w", start, b.end()-1, b.lost)
	}
	return b, b.lost
}

// readBTFHeader reads the header in the byte order of the machine.
func readBTFHeader(mem Memory, abi ABI, start, end uint64) (h btfHeader, err error) {
	if end < start || end-start > maxBTF {
		return h, fmt.Errorf("%#x bytes to %#x: %w", end-start, end, phys.ErrLimit)
	}
	bl, layout := readBlock(mem, abi, start, int(min(end-start, 32))), btfHeaders()
	for version := range 2 {
		babi := bin.ABI{Order: abi.order(), Long: abi.ptr(), Align64: 8}
		size := uint64(layout.Size(babi, version))
		if version > 0 && h.hdrLen < size {
			break
		}
		raw, err := bl.bytes("btf_header", start, start+size)
		if err != nil {
			return h, err
		}
		if h, err = layout.Decode(raw, babi, version); err != nil {
			return h, err
		}
		if strings.Trim(string(raw), "X") == "" {
			return h, fmt.Errorf("overwritten by makedumpfile --config: %w", phys.ErrExcluded)
		}
		if h.magic != btfMagic || h.version != 1 || h.hdrLen < size || h.typeOff%4 != 0 {
			return h, fmt.Errorf("begins with %x, which is not BTF version 1: %w", raw, phys.ErrCorrupt)
		}
	}
	return h, nil
}

// readSections reads what the header says is there.
func (b *BTF) readSections(mem Memory, h btfHeader, start, end uint64) error {
	for _, s := range []struct {
		name     string
		off, len uint64
		to       **block
	}{
		{"types", h.typeOff, h.typeLen, &b.types},
		{"strings", h.strOff, h.strLen, &b.strings},
		{"layout", h.layoutOff, h.layoutLen, &b.layout},
	} {
		from := start + h.hdrLen + s.off
		if from < start || from > end || s.len > end-from {
			return fmt.Errorf("%s at %#x-%#x, behind the end at %#x: %w", s.name, from, from+s.len, end, phys.ErrCorrupt)
		}
		*s.to = readBlock(mem, b.abi, from, int(s.len))
	}
	b.text, b.strings.b = string(b.strings.b), nil
	return nil
}

// index notes where each type begins.
func (b *BTF) index() error {
	b.at = append(make([]uint32, 0, len(b.types.b)/24), 0)
	end := b.types.end()
	for at := b.types.va; at < end; {
		raw, err := b.types.bytes("btf_type", at, at+btfTypeSize)
		if err != nil {
			return err
		}
		info := b.info(raw)
		size, err := b.kindSize(info)
		if err != nil {
			return fmt.Errorf("at %#x: %w", at, err)
		}
		if size > end-at {
			return fmt.Errorf("at %#x: %d bytes of a %s, and the types end: %w", at, size, info.name(), phys.ErrCorrupt)
		}
		at += size
		b.at = append(b.at, uint32(at-b.types.va))
	}
	return nil
}

// end is the number behind the last type.
func (b *BTF) end() TypeID { return b.first + TypeID(len(b.at)-1) }

// ByID gives the type of that number, of the base if it has it.
func (b *BTF) ByID(id TypeID) (*Type, error) {
	t := b.resolve(id)
	return t, t.err
}

// resolve is what references between types are followed by.
func (b *BTF) resolve(id TypeID) *Type {
	switch {
	case id == 0:
		return void
	case id < b.first:
		return b.base.resolve(id)
	}
	b.mu.RLock()
	t := b.made[id]
	b.mu.RUnlock()
	if t != nil {
		return t
	}
	t = b.inflate(id)
	b.mu.Lock()
	defer b.mu.Unlock()
	if other := b.made[id]; other != nil { // somebody else was faster
		return other
	}
	if id < b.end() {
		b.made[id] = t
	}
	return t
}

// All gives every type, first those of the base. They are not kept: a walk over all types
// takes no more memory than one of them.
func (b *BTF) All() iter.Seq2[*Type, error] {
	return func(yield func(*Type, error) bool) {
		if b.base != nil {
			for t, err := range b.base.All() {
				if !yield(t, err) {
					return
				}
			}
		}
		for t, err := range b.Own() {
			if !yield(t, err) {
				return
			}
		}
	}
}

// Own gives the types that a module has beside those of the kernel.
func (b *BTF) Own() iter.Seq2[*Type, error] {
	return func(yield func(*Type, error) bool) {
		for id := b.first; id < b.end(); id++ {
			if t := b.inflate(id); !yield(t, t.err) {
				return
			}
		}
	}
}
