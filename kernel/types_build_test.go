package kernel_test

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// cTypes reads structs that a test writes in C, "struct idr { struct idr_layer *top; int
// layers; };", with members that are integers, pointers, structs declared before, and
// arrays of them: BTF is made of them as pahole makes it.
func cTypes(t testing.TB, order dumptest.Order, word int, text string) *symbols.BTF {
	t.Helper()
	b := cText{order: order, word: uint32(word), names: []byte{0}, made: map[string]cType{}}
	structs := cStruct.FindAllStringSubmatch(text, -1)
	for i, s := range structs { // each has its number before a pointer leads to it
		b.made[s[1]] = cType{id: uint32(i + 1)}
		b.next++
	}
	var rest [][]byte
	for _, s := range structs {
		rest = append(rest, b.structure(s[1], s[2]))
	}
	all := []byte{}
	for _, s := range rest {
		all = append(all, s...)
	}
	return b.read(t, append(all, b.types...))
}

var (
	cStruct = regexp.MustCompile(`struct (\w+) \{([^}]*)\}`)
	cMember = regexp.MustCompile(`(?:struct )?(\w+) (\*?)(\w+)(?:\[(\d+)\])?;`)
)

// cType is a type that BTF was made of.
type cType struct{ id, size, align uint32 }

// cText makes BTF.
type cText struct {
	order dumptest.Order
	word  uint32
	types []byte // behind the structs
	names []byte
	next  uint32 // the number of the last type
	made  map[string]cType
}

func (b *cText) name(s string) uint32 {
	b.names = append(append(b.names, s...), 0)
	return uint32(len(b.names) - len(s) - 1)
}

func (b *cText) words(p []byte, list ...uint32) []byte {
	for _, v := range list {
		p = b.order.AppendUint32(p, v)
	}
	return p
}

// add makes a type that is no struct.
func (b *cText) add(words ...uint32) uint32 {
	b.types = b.words(b.types, words...)
	b.next++
	return b.next
}

// base is an integer or a struct.
func (b *cText) base(name string) cType {
	sizes := map[string]uint32{"char": 1, "short": 2, "int": 4, "long": b.word}
	if _, ok := b.made[name]; !ok {
		n := sizes[name]
		b.made[name] = cType{b.add(b.name(name), 1<<24, n, 8*n), n, n}
	}
	return b.made[name]
}

// structure is a struct with the offsets that C gives its members.
func (b *cText) structure(name, body string) []byte {
	var members []byte
	var at, most uint32
	count := uint32(0)
	for _, m := range cMember.FindAllStringSubmatch(body, -1) {
		t := b.base(m[1])
		if m[2] != "" {
			t = cType{b.add(0, 2<<24, t.id), b.word, b.word}
		}
		if n, err := strconv.ParseUint(m[4], 10, 32); err == nil {
			index := b.base("int")
			t = cType{b.add(0, 3<<24, 0, t.id, index.id, uint32(n)), t.size * uint32(n), t.align}
		}
		at = (at + t.align - 1) &^ (t.align - 1)
		members = b.words(members, b.name(m[3]), t.id, 8*at)
		at, most = at+t.size, max(most, t.align)
		count++
	}
	at = (at + most - 1) &^ (most - 1)
	b.made[name] = cType{b.made[name].id, at, most}
	return append(b.words(nil, b.name(name), 4<<24|count, at), members...)
}

// read reads what was made.
func (b *cText) read(t testing.TB, types []byte) *symbols.BTF {
	t.Helper()
	p := append(b.order.AppendUint16(nil, 0xeb9f), 1, 0)
	p = b.words(p, 24, 0, uint32(len(types)), uint32(len(types)), uint32(len(b.names)))
	p = append(append(p, types...), b.names...)
	const va = 0x1000
	btf, err := symbols.ReadBTF(flat(p), symbols.ABI{Order: b.order, PtrSize: int(b.word)}, va, va+uint64(len(p)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return btf
}

// flat is memory at 0x1000.
type flat []byte

func (f flat) ReadVirt(p []byte, va uint64) (int, error) {
	if n := copy(p, f[min(max(va, 0x1000)-0x1000, uint64(len(f))):]); n < len(p) {
		return n, phys.ErrHole
	}
	return len(p), nil
}

// typed is the kernel of a machine, with the types that the test gives it.
func (m *machine) typed(b *symbols.BTF) *kernel.Kernel {
	k := m.kernel()
	k.SetBTF(b)
	return k
}

// set writes a member of an object as wide as its type is.
func (m *machine) set(t *symbols.Type, va uint64, path string, v uint64) {
	m.t.Helper()
	at, err := t.Member(path)
	if err != nil {
		m.t.Fatal(err)
	}
	off, size := at.Bytes()
	b := m.order.AppendUint64(nil, v)
	if m.order.String() == "BigEndian" {
		b = b[8-size:]
	}
	m.put(va+off, b[:size])
}

// make reserves memory for an object.
func (m *machine) make(t *symbols.Type) uint64 { return m.alloc(int(t.Size())) }
