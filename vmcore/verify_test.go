package vmcore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// damageMap prints the damage as "first-last reason".
func damageMap(v *vmcore.Verification) (out []string) {
	for _, g := range v.Damage {
		out = append(out, fmt.Sprintf("%#x-%#x %v", uint64(g.First), uint64(g.Last), g.Why))
	}
	return out
}

// TestVerify counts every state once, and maps the damage.
func TestVerify(t *testing.T) {
	const text = `format kdump maxpfn 0x40
page 0x01-0x03 zero
page 0x04      fill "good "
page 0x05-0x07 corrupt payload[7]^=0x40
page 0x08      lost
page 0x0a-0x0b lost
page 0x0c      corrupt payload[0]^=0xff
page 0x0d      fill "good "
page 0x10-0x1f excluded`
	d := openText(t, text)
	v, err := d.Verify(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	elapsed, damage := v.Elapsed, damageMap(v)
	for _, g := range v.Damage {
		var pe *phys.PageError
		if !errors.As(g.Detail, &pe) || pe.Span.Start != phys.PageSpan(g.First, 1, 4096).Start {
			t.Errorf("damage from %#x on: %v", uint64(g.First), g.Detail)
		}
	}
	v.Elapsed, v.Damage = 0, nil
	want := vmcore.Verification{Good: 5, Zero: 3, Excluded: 16, Hole: 0x40 - 5 - 16 - 4 - 3, Lost: 3, Corrupt: 4, Bytes: 5 * 4096}
	if fmt.Sprintf("%+v", *v) != fmt.Sprintf("%+v", want) || elapsed <= 0 {
		t.Errorf("%+v in %v, want %+v", *v, elapsed, want)
	}
	if want := []string{"0x5-0x7 corrupt", "0x8-0x8 lost from the dump", "0xa-0xb lost from the dump", "0xc-0xc corrupt"}; !slices.Equal(damage, want) {
		t.Errorf("damage %q, want %q", damage, want)
	}
}

// TestVerifyContainers: the counts do not depend on the container.
func TestVerifyContainers(t *testing.T) {
	for _, tail := range []string{"", "flat shuffle 4", "format elf", "format lime", "format avml"} {
		v, err := openText(t, threePages+"\npage 0 zero\n"+tail).Verify(t.Context(), nil)
		if err != nil || v.Good != 4 || v.Zero != 1 || v.Bytes != 4*4096 || len(v.Damage) != 0 {
			t.Errorf("%q: %+v, %v", tail, v, err)
		}
	}
}

// TestVerifyCut: a map of very much damage is cut, the counts are not.
func TestVerifyCut(t *testing.T) {
	const n = 20010
	m := &dumptest.Image{PageSize: 4096, Lost: map[phys.PFN]bool{}}
	zero := make([]byte, 4096)
	for p := range phys.PFN(n) {
		m.Set(p, zero)
		m.Lost[p] = p%2 == 0
	}
	file, err := m.KDUMP(dumptest.DefaultKDUMP())
	if err != nil {
		t.Fatal(err)
	}
	v, err := openBytes(t, file, nil).Verify(t.Context(), nil)
	if err != nil || v.Lost != n/2 || v.Good != n/2 || len(v.Damage) != 10000 || !v.Cut {
		t.Errorf("lost %d, good %d, map of %d, cut %t, %v", v.Lost, v.Good, len(v.Damage), v.Cut, err)
	}
}

// TestVerifyProgress: it never goes back, and ends with all that there is to do.
func TestVerifyProgress(t *testing.T) {
	for _, d := range []*vmcore.Dump{numberedPages(t, 5000), numberedPages(t, 50), openText(t, threePages)} {
		var last, total uint64
		calls := 0
		v, err := d.Verify(t.Context(), func(done, all uint64) {
			if done < last || all < done {
				t.Errorf("progress %d of %d behind %d", done, all, last)
			}
			last, total = done, all
			calls++
		})
		if err != nil || last != v.Good || total != v.Good || calls == 0 || calls > 20 {
			t.Errorf("%d calls, the last %d of %d, %+v, %v", calls, last, total, v, err)
		}
	}
}

// TestVerifyMissingPart: the pages of a part that is not there are one entry.
func TestVerifyMissingPart(t *testing.T) {
	names := splitFiles(t, t.TempDir(), "", "part-a1", "part-b2", "part-c3")
	v, err := open(t, names[1], nil).Verify(t.Context(), nil)
	if err != nil || v.Good != 4 || v.Lost != 8 || v.Excluded != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	if want := []string{"0x2-0x5 lost from the dump", "0x20-0x23 lost from the dump"}; !slices.Equal(damageMap(v), want) {
		t.Errorf("damage %q, want %q", damageMap(v), want)
	}
}

// TestVerifyCanceled: what was found so far comes with the context's error.
func TestVerifyCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d := numberedPages(t, 6000)
	v, err := d.Verify(ctx, func(uint64, uint64) { cancel() })
	if !errors.Is(err, context.Canceled) || v == nil || v.Good == 0 || v.Good == 4800 {
		t.Errorf("%+v, %v", v, err)
	}
}
