package symbols

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/phys"
)

// image is a kernel image made by a test: bytes at an address, some pages absent.
type image struct {
	va     uint64
	b      []byte
	absent map[uint64]error // by page address
}

// ReadVirt gives what is there.
func (m *image) ReadVirt(p []byte, va uint64) (n int, err error) {
	for n < len(p) {
		at := va + uint64(n)
		if err := m.absent[at&^(minPage-1)]; err != nil {
			return n, fmt.Errorf("page %#x: %w", at&^(minPage-1), err)
		}
		if at < m.va || at >= m.va+uint64(len(m.b)) {
			return n, fmt.Errorf("page %#x: %w", at&^(minPage-1), phys.ErrHole)
		}
		end := min(m.va+uint64(len(m.b)), (at|(minPage-1))+1, va+uint64(len(p)))
		n += copy(p[n:], m.b[at-m.va:end-m.va])
	}
	return n, nil
}

// recipe is what scripts/kallsyms.c of some kernel and configuration would do.
type recipe struct {
	name   string
	abi    ABI
	order  string // the tables, as doc.go has them
	coding string // of addresses
	long   bool   // num_syms and markers are unsigned long
	wide   bool   // two-byte lengths
	align  uint64
}

// The orders of doc.go.
const (
	orderOld  = "addresses num_syms names markers token_table token_index"
	order46   = "addresses base num_syms names markers token_table token_index"
	order62   = "addresses base num_syms names markers seqs token_table token_index"
	order64   = "num_syms names markers token_table token_index addresses base seqs"
	order70   = "num_syms names markers token_table token_index addresses seqs"
	tablesOff = 0x3000 // where the first table is in the image
)

// multi are the tokens of several characters, at codes that no character of a name has.
var multi = map[int]string{0x80: "init_", 0x81: "sys_", 0x82: "_of_the_kernel_itself_", 0x01: "__pfx_"}

// symbolsFor makes the symbols of a kernel at the given address.
func symbolsFor(r recipe, base uint64, n int) []Symbol {
	var syms []Symbol
	if r.coding == "absolute per-CPU" {
		syms = append(syms, Symbol{Name: "fixed_percpu_data", Type: 'A'}, Symbol{Name: "cpu_tss_rw", Addr: 0x6000, Type: 'A'})
	}
	for i, name := range []string{"startup_64", "_stext", "_text"} {
		syms = append(syms, Symbol{Name: name, Addr: base, Type: "TTt"[i]})
	}
	for i := len(syms); i < n; i++ {
		syms = append(syms, Symbol{Name: fmt.Sprintf("sys_fn%d_of_the_kernel_itself_%x", i, i*7919), Addr: base + uint64(i)*16, Type: "TtWd"[i%4]})
	}
	syms[n/2].Name = strings.Repeat("Q", 200) // 201 tokens: two bytes where lengths are wide
	if r.wide {
		syms[n/3].Name = strings.Repeat("Z", 300) + "0123456789"
	}
	return syms
}

// tokenTable gives the strings and the code of each.
func tokenTable() (tok [256]string) {
	for c := '!'; c <= '~'; c++ {
		tok[c] = string(c)
	}
	for c, s := range multi {
		tok[c] = s
	}
	return tok
}

// encode is the name table's form of one symbol.
func encode(r recipe, tok [256]string, s Symbol) []byte {
	var body []byte
	text := string(s.Type) + s.Name
	for len(text) > 0 {
		best := int(text[0])
		for c, m := range multi {
			if strings.HasPrefix(text, m) && len(m) > len(tok[best]) {
				best = c
			}
		}
		body, text = append(body, byte(best)), text[len(tok[best]):]
	}
	if r.wide && len(body) >= 0x80 {
		return append([]byte{byte(len(body)) | 0x80, byte(len(body) >> 7)}, body...)
	}
	return append([]byte{byte(len(body))}, body...)
}

// builder writes tables behind each other.
type builder struct {
	recipe
	va   uint64
	b    []byte
	at   map[string]uint64 // address of each table
	syms []Symbol
}

func (w *builder) here() uint64 { return w.va + uint64(len(w.b)) }

func (w *builder) number(v uint64, size int) {
	var p [8]byte
	if size == 8 {
		w.abi.order().PutUint64(p[:], v)
	} else {
		w.abi.order().PutUint32(p[:], uint32(v))
	}
	w.b = append(w.b, p[:size]...)
}

// count is the size of num_syms and of the markers.
func (w *builder) count() int {
	if w.long {
		return w.abi.ptr()
	}
	return 4
}

// label aligns and notes the address of a table.
func (w *builder) label(name string) {
	for w.here()%w.align != 0 {
		w.b = append(w.b, 0)
	}
	w.at[name] = w.here()
}

func (w *builder) addresses() {
	base := w.va
	for _, s := range w.syms {
		switch w.coding {
		case "absolute":
			w.number(s.Addr, w.abi.ptr())
		case "base relative":
			w.number(s.Addr-base, 4)
		case "place relative":
			w.number(s.Addr-w.here(), 4)
		case "absolute per-CPU":
			if s.Type == 'A' {
				w.number(s.Addr, 4)
			} else {
				w.number(base-1-s.Addr, 4)
			}
		}
	}
}

func (w *builder) names() {
	tok := tokenTable()
	for _, s := range w.syms {
		w.b = append(w.b, encode(w.recipe, tok, s)...)
	}
}

func (w *builder) markers() {
	tok, off := tokenTable(), 0
	for i, s := range w.syms {
		if i%group == 0 {
			w.number(uint64(off), w.count())
		}
		off += len(encode(w.recipe, tok, s))
	}
}

func (w *builder) tokens() {
	for _, s := range tokenTable() {
		w.b = append(append(w.b, s...), 0)
	}
}

func (w *builder) index() {
	off := 0
	for _, s := range tokenTable() {
		var p [2]byte
		w.abi.order().PutUint16(p[:], uint16(off))
		w.b = append(w.b, p[:]...)
		off += len(s) + 1
	}
}

// build makes an image with the tables in it, and the keys that VMCOREINFO would have.
func build(r recipe, n int) (*image, Image, []Symbol) {
	va := uint64(0xffffffff92a00000)
	if r.abi.ptr() == 4 {
		va = 0xc1000000
	}
	w := &builder{recipe: r, va: va, b: make([]byte, tablesOff), at: map[string]uint64{}, syms: symbolsFor(r, va, n)}
	write := map[string]func(){
		"num_syms":    func() { w.number(uint64(n), w.count()) },
		"names":       w.names,
		"markers":     w.markers,
		"seqs":        func() { w.b = append(w.b, slices.Repeat([]byte{0, 1, 2}, n)...) },
		"token_table": w.tokens,
		"token_index": w.index,
		"addresses":   w.addresses,
		"base":        func() { w.number(va, w.abi.ptr()) },
	}
	for _, table := range strings.Fields(r.order) {
		w.label(table)
		write[table]()
	}
	keys := Keys{
		Names: w.at["names"], NumSyms: w.at["num_syms"], TokenTable: w.at["token_table"], TokenIndex: w.at["token_index"],
		RelativeBase: w.at["base"], Offsets: w.at["addresses"], Stext: va,
	}
	if r.coding == "absolute" {
		keys.Offsets, keys.Addresses = 0, w.at["addresses"]
	}
	w.b = append(w.b, make([]byte, 2*minPage)...)
	m := &image{va: va, b: w.b, absent: map[uint64]error{}}
	return m, Image{ABI: r.abi, Start: va, End: va + uint64(len(w.b)) + 4*minPage, Keys: keys}, w.syms
}

// recipes are all orders, with every coding of addresses that a kernel had in that order,
// on 64 and 32 bit and in both byte orders.
func recipes() []recipe {
	var all []recipe
	form := func(order string, long, wide bool, codings ...string) {
		for _, c := range codings {
			all = append(all, recipe{order: order, coding: c, long: long, wide: wide})
		}
	}
	noBase := func(order string) string { return strings.Replace(order, " base", "", 1) }
	form(orderOld, true, false, "absolute")
	for _, long := range []bool{true, false} {
		form(order46, long, false, "base relative", "absolute per-CPU")
		form(noBase(order46), long, false, "absolute")
	}
	form(order62, false, true, "base relative", "absolute per-CPU")
	form(noBase(order62), false, true, "absolute")
	form(order64, false, true, "base relative", "absolute per-CPU")
	form(noBase(order64), false, true, "absolute")
	form(order70, false, true, "place relative")
	var out []recipe
	for _, r := range all {
		for _, r.abi.PtrSize = range []int{8, 4} {
			for _, r.abi.Order = range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
				r.align = uint64(r.abi.PtrSize)
				if r.order == order70 {
					r.align = 4
				}
				r.name = fmt.Sprintf("%s, %s, long %v, %d bytes %v", r.order, r.coding, r.long, r.abi.PtrSize, r.abi.Order)
				out = append(out, r)
			}
		}
	}
	return out
}
