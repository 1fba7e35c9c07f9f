package elfcore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
)

// written is a file in memory.
type written []byte

func (w *written) WriteAt(b []byte, off int64) (int, error) {
	*w = append(*w, make([]byte, max(0, int(off)+len(b)-len(*w)))...)
	return copy((*w)[off:], b), nil
}

// everyOther are n runs of one page each, with one left out between them.
func everyOther(n int) iter.Seq2[phys.Run, error] {
	return func(yield func(phys.Run, error) bool) {
		for i := range phys.PFN(n) {
			if !yield(phys.Run{Start: 2 * i, End: 2*i + 1}, nil) || !yield(phys.Run{Start: 2*i + 1, End: 2*i + 2, Why: phys.ErrExcluded}, nil) {
				return
			}
		}
	}
}

// write makes a file of those pages; each holds its number, every tenth and the last are
// zero.
func write(t *testing.T, plan Plan, n int) []byte {
	t.Helper()
	var out written
	w, err := NewWriter(&out, plan, everyOther(n))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		page := make([]byte, plan.PageSize)
		if i%10 != 9 && i != n-1 {
			binary.LittleEndian.PutUint32(page, uint32(i)+1)
		}
		b := &phys.Batch{PFN: []phys.PFN{phys.PFN(2 * i)}, Data: [][]byte{page}, Err: []error{nil}}
		if err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestWriter: few and many segments, in both classes and orders, read back as they were.
func TestWriter(t *testing.T) {
	for _, n := range []int{1, 100, 70000} { // the last does not fit into e_phnum
		for _, class := range []int{32, 64} {
			ends, machine := order(binary.LittleEndian), uint16(machineARM)
			if class == 64 {
				ends, machine = binary.BigEndian, machineS390
			}
			notes := note(ends, "VMCOREINFO", 0, "OSRELEASE=6.1.0\nPAGESIZE=4096\n")
			file := write(t, Plan{Machine: machine, Class: class, Order: ends, PageSize: 4096, Notes: notes, Incomplete: true}, n)
			f, err := open(file)
			if err != nil {
				t.Fatal(err)
			}
			if f.Header.Class != class || f.Header.Order != ends || len(f.Notes) != 1 || !bytes.Equal(f.Notes[0], notes) || !f.Incomplete || len(f.Problems) > 0 {
				t.Errorf("%d pages: header %+v, %d notes, incomplete %t, problems %v", n, f.Header, len(f.Notes), f.Incomplete, f.Problems)
			}
			b := make([]byte, 4096)
			for i := range n {
				want := uint32(i) + 1
				if i%10 == 9 || i == n-1 {
					want = 0
				}
				if _, err := f.ReadPage(phys.PFN(2*i), b); err != nil || binary.LittleEndian.Uint32(b) != want {
					t.Fatalf("page %d of %d: %d, %v", i, n, binary.LittleEndian.Uint32(b), err)
				}
				if _, err := f.ReadPage(phys.PFN(2*i+1), b); !errors.Is(err, phys.ErrExcluded) {
					t.Fatalf("page behind %d: %v", i, err)
				}
			}
		}
	}
}

// TestWriterRefuses: memory beyond the class, and pages that did not come.
func TestWriterRefuses(t *testing.T) {
	var out written
	far := func(yield func(phys.Run, error) bool) { yield(phys.Run{Start: 1 << 20, End: 1<<20 + 1}, nil) }
	plan := Plan{Machine: machineARM, Class: 32, Order: binary.LittleEndian, PageSize: 4096}
	if _, err := NewWriter(&out, plan, far); !errors.Is(err, phys.ErrUnsupported) {
		t.Errorf("page behind 4 GiB in ELF32: %v", err)
	}
	w, err := NewWriter(&out, plan, everyOther(3))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); !errors.Is(err, ErrUnread) {
		t.Errorf("no page came: %v", err)
	}
}
