package symbols

import (
	"encoding/binary"
	"fmt"
	"testing"
)

// BenchmarkInflate makes one struct of 250 members, as task_struct has them.
func BenchmarkInflate(b *testing.B) {
	m := newBTFMaker(binary.LittleEndian)
	in := m.integer("int", 4, 1)
	var members []any
	for i := range 250 {
		members = append(members, fmt.Sprintf("member_number_%d", i), in, 32*i)
	}
	id := m.aggregate("task_struct", 4, 1000, members...)
	types := m.read(b, nil)
	b.SetBytes(12 + 250*12)
	b.ReportAllocs()
	for b.Loop() {
		if t := types.inflate(TypeID(id)); t.err != nil {
			b.Fatal(t.err)
		}
	}
}
