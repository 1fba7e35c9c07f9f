package kernel_test

import (
	"errors"
	"testing"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// TestTranslate: each of the three ways to a physical address, and none.
func TestTranslate(t *testing.T) {
	m := newMachine(t)
	k := m.kernel()
	stext := m.phys(x86Image)
	tests := []struct {
		name string
		va   uint64
		want phys.Addr
		err  error
	}{
		{"image", x86Image + 0x123, stext + 0x123, nil},
		{"direct map", x86Direct + uint64(stext) + 8, stext + 8, nil},
		{"page tables", vmallocVA + 7, 0, nil},
		{"hole of the tables", vmallocVA + pageSize, 0, phys.ErrUnmapped},
		{"user", 0x400000, 0, phys.ErrUnmapped},
		{"not canonical", 0x6b6b6b6b6b6b6b6b, 0, phys.ErrUnmapped},
	}
	for _, tt := range tests {
		a, err := k.Translate(tt.va)
		if !errors.Is(err, tt.err) || tt.want != 0 && a != tt.want {
			t.Errorf("%s: %#x, %v, want %#x, %v", tt.name, a, err, tt.want, tt.err)
		}
		var ve *kernel.VirtError
		if err != nil && (!errors.As(err, &ve) || ve.VA != tt.va) {
			t.Errorf("%s: error %v does not name %#x", tt.name, err, tt.va)
		}
	}
}

// TestReadVirt reads across pages up to the first absence.
func TestReadVirt(t *testing.T) {
	m := newMachine(t)
	text := m.pages(3)
	m.put(text+2*pageSize-4, []byte("over two pages"))
	m.lose(text)
	k := m.kernel()
	b := make([]byte, 14)
	if n, err := k.ReadVirt(b, text+2*pageSize-4); n != 14 || err != nil || string(b) != "over two pages" {
		t.Errorf("read %q, %d, %v", b, n, err)
	}
	if n, err := k.ReadVirt(b, vmallocVA); n != 14 || err != nil || string(b) != "mapped by tabl" {
		t.Errorf("read %q, %d, %v", b, n, err)
	}
	tests := []struct {
		name string
		va   uint64
		n    int
		want error
	}{
		{"lost at once", text + 5, 0, phys.ErrLost},
		{"lost behind", text - 10, 10, phys.ErrLost},
		{"unmapped behind", vmallocVA + pageSize - 3, 3, phys.ErrUnmapped},
		{"hole", x86Image + 3<<20, 0, phys.ErrHole},
		{"end of the address space", ^uint64(0) - 3, 0, phys.ErrUnmapped},
	}
	for _, tt := range tests {
		n, err := k.ReadVirt(b, tt.va)
		var ve *kernel.VirtError
		if n != tt.n || !errors.Is(err, tt.want) || !errors.As(err, &ve) || ve.VA != tt.va+uint64(tt.n) {
			t.Errorf("%s: %d bytes, %v, want %d, %v", tt.name, n, err, tt.n, tt.want)
		}
	}
}

// TestNoSpace: a dump that does not say how addresses translate still opens.
func TestNoSpace(t *testing.T) {
	m := newMachine(t)
	m.arch = "riscv32"
	k := m.kernel()
	if s, err := k.Space(); s != nil || !errors.Is(err, phys.ErrUnsupported) {
		t.Errorf("space %v, %v", s, err)
	}
	if _, err := k.Translate(x86Image); !errors.Is(err, phys.ErrUnsupported) {
		t.Errorf("translate: %v", err)
	}
	if _, err := k.Symbols(); !errors.Is(err, phys.ErrUnsupported) {
		t.Errorf("symbols: %v", err)
	}
	if _, err := k.LogText(t.Context()); !errors.Is(err, phys.ErrUnsupported) {
		t.Errorf("log: %v", err)
	}
	if got := k.PtrSize(); got != 4 {
		t.Errorf("pointers of %d bytes, want 4", got)
	}
}
