package elfnote_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/internal/elfnote"
	"github.com/kautopsy/kautopsy/phys"
)

// collect writes the notes of an area as text.
func collect(area []byte, order binary.ByteOrder) (string, error) {
	var out []string
	for n, err := range elfnote.All(area, order) {
		if err != nil {
			return strings.Join(out, "; "), err
		}
		out = append(out, fmt.Sprintf("%s %d %q @%d", n.Name, n.Type, n.Desc, n.Off))
	}
	return strings.Join(out, "; "), nil
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestAll(t *testing.T) {
	for _, order := range []dumptest.Order{binary.LittleEndian, binary.BigEndian} {
		note := func(name string, typ uint32, desc string) []byte {
			return dumptest.Note(order, name, typ, []byte(desc))
		}
		raw := func(namesz, descsz, typ uint32, rest string) []byte {
			b := order.AppendUint32(nil, namesz)
			return append(order.AppendUint32(order.AppendUint32(b, descsz), typ), rest...)
		}
		core, end := note("CORE", 1, "abcd"), make([]byte, 12)
		tests := []struct {
			name string
			area []byte
			want string
			err  error
		}{
			{"nothing", nil, "", nil},
			{"two", cat(core, note("VMCOREINFO", 0, "X=1")), `CORE 1 "abcd" @20; VMCOREINFO 0 "X=1" @48`, nil},
			{"desc that is not padded", cat(core, raw(5, 3, 2, "CORE\x00\x00\x00\x00xyz")), `CORE 1 "abcd" @20; CORE 2 "xyz" @44`, nil},
			{"empty note between CPUs", cat(core, end, core), `CORE 1 "abcd" @20; CORE 1 "abcd" @56`, nil},
			{"zeros to the end", cat(core, make([]byte, 100)), `CORE 1 "abcd" @20`, nil},
			{"no name", cat(raw(0, 4, 7, "abcd"), core), ` 7 "abcd" @12; CORE 1 "abcd" @36`, nil},
			{"no desc", cat(raw(5, 0, 9, "CORE\x00\x00\x00\x00"), core), `CORE 9 "" @20; CORE 1 "abcd" @40`, nil},
			{"name without NUL", raw(4, 4, 1, "COREabcd"), `CORE 1 "abcd" @16`, nil},
			{"less than a header left", cat(core, make([]byte, 11)), `CORE 1 "abcd" @20`, nil},
			{"name over the end", cat(core, raw(100, 0, 1, "CORE")), `CORE 1 "abcd" @20`, phys.ErrCorrupt},
			{"desc over the end", cat(core, raw(5, 100, 1, "CORE\x00\x00\x00\x00abcd")), `CORE 1 "abcd" @20`, phys.ErrCorrupt},
			{"largest name", cat(core, raw(1<<32-1, 4, 1, "CORE")), `CORE 1 "abcd" @20`, phys.ErrCorrupt},
			{"largest desc", cat(core, raw(5, 1<<32-1, 1, "CORE\x00\x00\x00\x00")), `CORE 1 "abcd" @20`, phys.ErrCorrupt},
			{"both largest", raw(1<<32-1, 1<<32-1, 1, "CORE"), "", phys.ErrCorrupt},
			{"name and desc overlap the end", raw(8, 8, 1, "CORE\x00\x00\x00\x00abcd"), "", phys.ErrCorrupt},
		}
		for _, tt := range tests {
			got, err := collect(tt.area, order)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%v, %s: %s, %v, want %s, %v", order, tt.name, got, err, tt.want, tt.err)
			}
		}
	}
}

// TestCut cuts an area at every byte: whole notes are still given.
func TestCut(t *testing.T) {
	area := cat(dumptest.Note(binary.LittleEndian, "CORE", 1, []byte("abcde")), dumptest.PRStatus(binary.LittleEndian, 7, [27]uint64{}))
	for n := range area {
		got, err := collect(area[:n], binary.LittleEndian)
		if err != nil && !errors.Is(err, phys.ErrCorrupt) {
			t.Errorf("cut at %d: %v", n, err)
		}
		if first := strings.HasPrefix(got, `CORE 1 "abcde"`); first != (n >= 25) {
			t.Errorf("cut at %d: %s", n, got)
		}
	}
}

// TestBuildID: it is told from other notes by owner and type.
func TestBuildID(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		area := elfnote.Append(nil, order, elfnote.Note{Name: "Linux", Type: 3, Desc: []byte("no")})
		area = elfnote.Append(area, order, elfnote.Note{Name: "GNU", Type: 1, Desc: []byte("no")})
		if id := elfnote.BuildID(area, order); id != nil {
			t.Errorf("%q of others", id)
		}
		area = elfnote.Append(area, order, elfnote.Note{Name: "GNU", Type: 3, Desc: []byte("the one")})
		if id := elfnote.BuildID(area, order); string(id) != "the one" {
			t.Errorf("%q", id)
		}
	}
}

// TestBreak: a walk can be left.
func TestBreak(t *testing.T) {
	core := dumptest.Note(binary.LittleEndian, "CORE", 1, []byte("abcd"))
	n := 0
	for range elfnote.All(cat(core, core, core), binary.LittleEndian) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d notes behind break", n)
	}
}

// FuzzNotes: every note lies inside the area, in order, and an error has its reason.
func FuzzNotes(f *testing.F) {
	for _, order := range []dumptest.Order{binary.LittleEndian, binary.BigEndian} {
		core := dumptest.PRStatus(order, 7, [27]uint64{1, 2, 3})
		f.Add(cat(core, make([]byte, 12), dumptest.Note(order, "VMCOREINFO", 0, []byte("OSRELEASE=6.1\n"))), order == dumptest.Order(binary.BigEndian))
	}
	f.Fuzz(func(t *testing.T, area []byte, big bool) {
		order := binary.ByteOrder(binary.LittleEndian)
		if big {
			order = binary.BigEndian
		}
		last := 0
		for n, err := range elfnote.All(area, order) {
			if err != nil {
				if !errors.Is(err, phys.ErrCorrupt) {
					t.Fatalf("no reason: %v", err)
				}
				continue
			}
			if n.Off < last+12 || !bytes.Equal(area[n.Off:n.Off+len(n.Desc)], n.Desc) || strings.Contains(n.Name, "\x00") {
				t.Fatalf("note %q of %d bytes at %d behind %d", n.Name, len(n.Desc), n.Off, last)
			}
			last = n.Off + len(n.Desc)
		}
	})
}

// TestAppend: what was appended is read back, whatever its lengths.
func TestAppend(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		var area []byte
		for n := range 9 {
			area = elfnote.Append(area, order, elfnote.Note{Name: strings.Repeat("n", n+1), Type: uint32(n), Desc: bytes.Repeat([]byte{'d'}, n)})
		}
		n := 0
		for note, err := range elfnote.All(area, order) {
			if err != nil || len(note.Name) != n+1 || int(note.Type) != n || len(note.Desc) != n {
				t.Fatalf("note %d: %+v, %v", n, note, err)
			}
			n++
		}
		if n != 9 || len(area)%4 != 0 {
			t.Errorf("%d notes in %d bytes", n, len(area))
		}
	}
}
