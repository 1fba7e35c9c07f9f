package symbols

import (
	"encoding/binary"
	"testing"
)

// btfMaker makes BTF as pahole does. The first type it makes has the number first.
type btfMaker struct {
	order  order
	first  uint32 // 1, or what follows the base
	text   int    // bytes of strings in the base
	n      uint32
	types  []byte
	names  []byte
	layout []byte // nil: a header of 24 bytes
}

type order interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

func newBTFMaker(o order) *btfMaker { return &btfMaker{order: o, first: 1, names: []byte{0}} }

// split makes what goes on where m ends.
func (m *btfMaker) split() *btfMaker {
	return &btfMaker{order: m.order, first: m.first + m.n, text: m.text + len(m.names)}
}

// name adds a string and gives its offset.
func (m *btfMaker) name(s string) uint32 {
	if s == "" {
		return 0
	}
	m.names = append(append(m.names, s...), 0)
	return uint32(m.text + len(m.names) - len(s) - 1)
}

func (m *btfMaker) words(v ...uint32) {
	for _, w := range v {
		m.types = m.order.AppendUint32(m.types, w)
	}
}

const btfFlag = 1 << 31

// add adds a type: kind, vlen and flag as the info word has them, then what follows.
func (m *btfMaker) add(name string, kind, vlen, third uint32, rest ...uint32) uint32 {
	m.words(m.name(name), kind<<24&0x7f000000|kind&btfFlag|vlen, third)
	m.words(rest...)
	m.n++
	return m.first + m.n - 1
}

func (m *btfMaker) integer(name string, size, encoding uint32) uint32 {
	return m.add(name, 1, 0, size, encoding<<24|8*size)
}

// members are name, type, offset.
func (m *btfMaker) aggregate(name string, kind, size uint32, members ...any) uint32 {
	var rest []uint32
	for i := 0; i < len(members); i += 3 {
		rest = append(rest, m.name(members[i].(string)), members[i+1].(uint32), uint32(members[i+2].(int)))
	}
	return m.add(name, kind, uint32(len(rest)/3), size, rest...)
}

// bytes is the whole of it.
func (m *btfMaker) bytes() []byte {
	size := 24
	if m.layout != nil {
		size = 32
	}
	b := m.order.AppendUint16(nil, btfMagic)
	b = append(b, 1, 0)
	head := []int{size, 0, len(m.types), len(m.types), len(m.names), len(m.types) + len(m.names), len(m.layout)}
	for _, v := range head[:size/4-1] {
		b = m.order.AppendUint32(b, uint32(v))
	}
	return append(append(append(b, m.types...), m.names...), m.layout...)
}

const btfVA = 0xffffffff82000ff0

// read reads it from memory.
func (m *btfMaker) read(t testing.TB, base *BTF) *BTF {
	t.Helper()
	b, err := readBTFBytes(m.bytes(), m.abi(), base)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (m *btfMaker) abi() ABI { return ABI{Order: m.order, PtrSize: 8} }

func readBTFBytes(p []byte, abi ABI, base *BTF) (*BTF, error) {
	return ReadBTF(&image{va: btfVA, b: p}, abi, btfVA, btfVA+uint64(len(p)), base)
}

// everyKind makes a small kernel with all kinds of BTF in it.
func everyKind(o order) *btfMaker {
	m := newBTFMaker(o)
	char := m.integer("char", 1, 1)
	in := m.integer("int", 4, 1)
	ulong := m.integer("long unsigned int", 8, 0)
	m.add("double", 16, 0, 8) // BTF_KIND_FLOAT
	list := m.first + m.n
	m.aggregate("list_head", 4, 16, "next", list+1, 0, "prev", list+1, 64)
	listPtr := m.add("", 2, 0, list)
	constChar := m.add("", 10, 0, char)
	text := m.add("", 2, 0, constChar)
	comm := m.add("", 3, 0, 0, char, in, 16)
	u32 := m.add("u32", 8, 0, m.integer("unsigned int", 4, 0))
	hidden := m.aggregate("", 4, 16, "lock", u32, 0, "owner", listPtr, 64)
	either := m.aggregate("", 5, 16, "", hidden, 0, "raw", ulong, 0)
	table := m.add("", 3, 0, 0, either, in, 3)
	state := m.add("task_state", 6|btfFlag, 3, 4, m.name("DEAD"), ^uint32(0), m.name("RUNNING"), 0, m.name("PARKED"), 64)
	m.add("wide", 19, 2, 8, m.name("LOW"), 1, 0, m.name("HIGH"), 2, 1<<31)
	fwd := m.add("mm_struct", 7, 0, 0)
	m.add("either", 7|btfFlag, 0, 0)
	fwdPtr := m.add("", 2, 0, fwd)
	volatile := m.add("", 9, 0, ulong)
	restrict := m.add("", 11, 0, text)
	proto := m.add("", 13, 3, in, m.name("p"), restrict, m.name("n"), volatile, 0, 0)
	constPtr := m.add("", 10, 0, m.add("", 2, 0, proto))
	fn := m.add("vfs_read", 12, 1, proto)
	m.add("kfunc", 17, 0, fn, ^uint32(0))
	percpu := m.add("percpu", 18, 0, ulong)
	percpuPtr := m.add("", 2, 0, percpu)
	task := m.aggregate("task_struct", 4|btfFlag, 240,
		"__state", u32, 0, "in_execve", u32, 1<<24|32, "policy", u32, 10<<24|33, "mm", fwdPtr, 64, "tasks", list, 128,
		"", either, 256, "table", table, 384, "op", constPtr, 768, "state", state, 832, "hits", percpuPtr, 896, "comm", comm, 960)
	v := m.add("current_task", 14, 0, m.add("", 2, 0, task), 1)
	m.add(".data..percpu", 15, 1, 8, v, 64, 8)
	return m
}
