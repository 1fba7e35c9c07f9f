package vmcore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// numberedPages is a dump of n pages, each of which begins with its number; every tenth is
// a hole, every tenth excluded.
func numberedPages(t testing.TB, n int, damage ...phys.PFN) *vmcore.Dump {
	t.Helper()
	m := &dumptest.Image{PageSize: 4096, Damage: map[phys.PFN]dumptest.Damage{}}
	for p := range phys.PFN(n) {
		switch p % 10 {
		case 3:
		case 4:
			m.Exclude(p, p+1)
		default:
			b := make([]byte, 4096)
			binary.LittleEndian.PutUint64(b, uint64(p))
			b[8] = 1
			m.Set(p, b)
		}
	}
	for _, p := range damage {
		m.Damage[p] = func(stored []byte, _ *dumptest.Desc) []byte { stored[0] ^= 0xff; return stored }
	}
	o := dumptest.DefaultKDUMP()
	o.Codec = dumptest.Snappy
	file, err := m.KDUMP(o)
	if err != nil {
		t.Fatal(err)
	}
	return openBytes(t, file, nil)
}

// TestPagesOrder: every page once, in order, with its own bytes.
func TestPagesOrder(t *testing.T) {
	const n = 3000
	d := numberedPages(t, n, 1000, 1001, 2999)
	var got, bad []phys.PFN
	for page, err := range d.Pages(t.Context()) {
		if err != nil {
			var pe *phys.PageError
			if !errors.As(err, &pe) || !errors.Is(err, phys.ErrCorrupt) || pe.Span != phys.PageSpan(page.PFN, 1, 4096) || len(page.Data) != 0 {
				t.Errorf("page %#x: %d bytes, %v", uint64(page.PFN), len(page.Data), err)
			}
			bad = append(bad, page.PFN)
			continue
		}
		if len(page.Data) != 4096 || phys.PFN(binary.LittleEndian.Uint64(page.Data)) != page.PFN {
			t.Fatalf("page %#x: %.16x", uint64(page.PFN), page.Data)
		}
		got = append(got, page.PFN)
	}
	if len(got) != n*8/10-3 || !slices.IsSorted(got) || !slices.Equal(bad, []phys.PFN{1000, 1001, 2999}) {
		t.Errorf("%d pages, sorted %t, damaged %v", len(got), slices.IsSorted(got), bad)
	}
}

// TestPagesLostRun: pages that are lost in one piece come as one error with their span.
func TestPagesLostRun(t *testing.T) {
	names := splitFiles(t, t.TempDir(), "", "part-a1", "part-b2", "part-c3") // named so that none is found
	d := open(t, names[1], nil)
	var steps []string
	for page, err := range d.Pages(t.Context()) {
		steps = append(steps, fmt.Sprintf("%#x %d %v", uint64(page.PFN), len(page.Data), phys.Reason(err)))
		var pe *phys.PageError
		if errors.As(err, &pe) && pe.Span.Len() != 4*4096 {
			t.Errorf("span %v", pe.Span)
		}
	}
	want := []string{"0x2 0 lost from the dump", "0x10 4096 <nil>", "0x11 4096 <nil>", "0x12 4096 <nil>", "0x13 4096 <nil>", "0x20 0 lost from the dump"}
	if !slices.Equal(steps, want) {
		t.Errorf("steps %q, want %q", steps, want)
	}
}

// TestPagesEnds: however a loop ends, no goroutine stays behind; a bubble with one that
// does would panic.
func TestPagesEnds(t *testing.T) {
	d := numberedPages(t, 2000)
	ends := map[string]func(ctx context.Context, cancel func()){
		"end":    func(ctx context.Context, _ func()) { walk(ctx, d, func(int) bool { return true }) },
		"break":  func(ctx context.Context, _ func()) { walk(ctx, d, func(n int) bool { return n < 100 }) },
		"at one": func(ctx context.Context, _ func()) { walk(ctx, d, func(int) bool { return false }) },
		"panic": func(ctx context.Context, _ func()) {
			defer func() { _ = recover() }()
			walk(ctx, d, func(int) bool { panic("in the loop") })
		},
		"goexit": func(ctx context.Context, _ func()) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				walk(ctx, d, func(int) bool { runtime.Goexit(); return true })
			}()
			<-done
		},
		"cancel": func(ctx context.Context, cancel func()) {
			n, err := walk(ctx, d, func(n int) bool {
				if n == 50 {
					cancel()
				}
				return true
			})
			if !errors.Is(err, context.Canceled) || n >= 1600 {
				t.Errorf("canceled: %d pages, %v", n, err)
			}
		},
		"canceled before": func(ctx context.Context, cancel func()) {
			cancel()
			if n, err := walk(ctx, d, func(int) bool { return true }); !errors.Is(err, context.Canceled) || n > 1600 {
				t.Errorf("canceled before: %d pages, %v", n, err)
			}
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background()) // nobody else cancels it
				end(ctx, cancel)
			})
		})
	}
}

// walk goes over the pages until more says no; err is the last error.
func walk(ctx context.Context, d *vmcore.Dump, more func(n int) bool) (n int, err error) {
	for _, perr := range d.Pages(ctx) {
		err = perr
		if n++; !more(n) {
			break
		}
	}
	return n, err
}

// TestPagesNested: two walks of one dump at a time, one in the body of the other.
func TestPagesNested(t *testing.T) {
	d := numberedPages(t, 300)
	outer, inner := 0, 0
	for page, err := range d.Pages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(page.Data)
		if outer++; outer%60 == 0 {
			n, err := walk(t.Context(), d, func(int) bool { return true })
			if inner += n; err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(before, page.Data) {
			t.Fatalf("page %#x changed in the loop", uint64(page.PFN))
		}
	}
	if outer != 240 || inner != 4*240 {
		t.Errorf("%d and %d pages", outer, inner)
	}
}

// TestPagesElsewhere: other containers, some of which are read byte by byte.
func TestPagesElsewhere(t *testing.T) {
	for _, tail := range []string{"format elf", "format lime", "format avml", "flat"} {
		d := openText(t, threePages+"\n"+tail)
		n, err := walk(t.Context(), d, func(int) bool { return true })
		if n != 3 || err != nil {
			t.Errorf("%s: %d pages, %v", tail, n, err)
		}
	}
}

// BenchmarkPages walks a dump of snappy pages.
func BenchmarkPages(b *testing.B) {
	d := numberedPages(b, 4000)
	b.SetBytes(3200 * 4096)
	b.ReportAllocs()
	for b.Loop() {
		if n, err := walk(b.Context(), d, func(int) bool { return true }); n != 3200 || err != nil {
			b.Fatal(n, err)
		}
	}
}
