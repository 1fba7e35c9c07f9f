package kernel_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// places are where a search finds something, counted from base.
func places(t *testing.T, k *kernel.Kernel, s kernel.Search, base uint64) (got []string, err error) {
	t.Helper()
	for f, ferr := range k.SearchPhys(t.Context(), s, 0, 0) {
		if ferr != nil {
			err = errors.Join(err, ferr)
			continue
		}
		got = append(got, fmt.Sprintf("%x %d %x %s", f.Addr-base, f.Which, f.Value, f.Text))
	}
	return got, err
}

// TestSearchValues finds values of every width, in both byte orders, with bits that do not
// matter, at addresses that the width divides alone.
func TestSearchValues(t *testing.T) {
	for _, big := range []bool{false, true} {
		m := wordMachine(t, big, 8)
		va := m.page()
		m.put(va+0x10, m.long(0x1122334455667788))
		m.put(va+0x20, m.u32(0xdeadbeef))
		m.put(va+0x2a, m.order.AppendUint16(nil, 0xcafe))
		m.put(va+0x33, m.u32(0xdeadbeef))
		m.put(va+0xff8, m.long(0x1122334455667700))
		k, base := m.kernel(), uint64(m.phys(va))
		for _, c := range []struct {
			s    kernel.Search
			want []string
		}{
			{kernel.Search{Values: []uint64{0x1122334455667788}}, []string{"10 0 1122334455667788 "}},
			{kernel.Search{Values: []uint64{0x1122334455667700}, Ignore: 0xff}, []string{"10 0 1122334455667788 ", "ff8 0 1122334455667700 "}},
			{kernel.Search{Values: []uint64{5, 0xdeadbeef}, Width: 4}, []string{"20 1 deadbeef "}},
			{kernel.Search{Values: []uint64{0xcafe}, Width: 2}, []string{"2a 0 cafe "}},
		} {
			if got, err := places(t, k, c.s, base); !slices.Equal(got, c.want) || err != nil {
				t.Errorf("big-endian %t, %+v: %q, %v", big, c.s, got, err)
			}
		}
		for _, s := range []kernel.Search{{Values: []uint64{1 << 32}, Width: 4}, {Width: 3}, {Texts: []string{""}}} {
			if got, err := places(t, k, s, base); len(got) != 0 || phys.Reason(err) == nil {
				t.Errorf("%+v: %q, %v", s, got, err)
			}
		}
	}
}

// TestSearchTexts finds texts in pages, across the borders of two and of three, and not
// where memory between them is not there.
func TestSearchTexts(t *testing.T) {
	m := newMachine(t)
	va := m.pages(8)
	long := strings.Repeat("0123456789abcdef", 4096/16) + "0123"
	m.put(va+100, []byte("needle and more\x00"))
	m.put(va+pageSize-3, []byte("needle"))
	m.put(va+3*pageSize-2, []byte(long[:4096]))
	m.put(va+5*pageSize-3, []byte("nee"))
	m.put(va+6*pageSize, []byte("dle"))
	m.put(va+7*pageSize-3, []byte("nee"))
	m.put(va+7*pageSize, []byte("dlenneedleneedle"))
	m.exclude(va + 5*pageSize)
	k, base := m.kernel(), uint64(m.phys(va))
	got, err := places(t, k, kernel.Search{Texts: []string{"needle", long[:4096]}}, base)
	want := []string{
		"64 0 0 needle and more", "ffd 0 0 needle", "2ffe 1 0 " + long[:4096],
		"6ffd 0 0 needle", "7004 0 0 needleneedle", "700a 0 0 needle",
	}
	if !slices.Equal(got, want) || err != nil {
		t.Errorf("%.200q, %v", got, err)
	}
	var virt []uint64
	for f, err := range k.SearchVirt(t.Context(), kernel.Search{Texts: []string{"needle"}}, va+101, va+7*pageSize+8) {
		if err != nil {
			t.Error(err)
		}
		virt = append(virt, f.Addr-va)
	}
	if !slices.Equal(virt, []uint64{0xffd, 0x6ffd}) {
		t.Errorf("%#x", virt)
	}
	if at, err := k.Virt(m.phys(va)); at != va || err != nil {
		t.Errorf("%#x is %#x, %v", m.phys(va), at, err)
	}
}

// TestSearchDamaged: pages that are lost are told, and do not end the search.
func TestSearchDamaged(t *testing.T) {
	m := newMachine(t)
	a, lost, b := m.page(), m.page(), m.page()
	m.put(a, m.long(0x1122334455667788))
	m.put(b, m.long(0x1122334455667788))
	m.corrupt(lost)
	m.put(lost, []byte("something"))
	k := m.kernel()
	got, err := places(t, k, kernel.Search{Values: []uint64{0x1122334455667788}}, uint64(m.phys(a)))
	if len(got) != 2 || !errors.Is(err, phys.ErrCorrupt) {
		t.Errorf("%q, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range k.SearchPhys(ctx, kernel.Search{Values: []uint64{1}}, 0, 0) {
		if !errors.Is(err, ctx.Err()) {
			t.Error(err)
		}
	}
	for _, err := range k.SearchVirt(t.Context(), kernel.Search{Values: []uint64{1}}, 0, 1<<60) {
		if !errors.Is(err, phys.ErrLimit) {
			t.Error(err)
		}
	}
}

// TestSearchAll compares with what a look at each page finds.
func TestSearchAll(t *testing.T) {
	k := openKernel(t, tiny+"/vmcore.zlib")
	first, err := k.Symbol("init_task")
	if err != nil {
		t.Fatal(err)
	}
	pattern := binary.LittleEndian.AppendUint64(nil, first.Addr)
	var want []uint64
	for p, err := range k.Dump().Pages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(p.Data); i += 8 {
			if bytes.Equal(p.Data[i:i+8], pattern) {
				want = append(want, uint64(p.PFN)*pageSize+uint64(i))
			}
		}
	}
	var got []uint64
	for f, err := range k.SearchPhys(t.Context(), kernel.Search{Values: []uint64{first.Addr}}, 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f.Addr)
	}
	if !slices.Equal(got, want) || len(got) < 20 {
		t.Errorf("%d places, not %d", len(got), len(want))
	}
}

// BenchmarkSearch looks through a dump whose pages are not compressed, where there is one.
func BenchmarkSearch(b *testing.B) {
	name := tiny + "/vmcore.zlib"
	if dir := os.Getenv("KAUTOPSY_CORPUS"); dir != "" {
		name = corpusDump(b, filepath.Join(dir, "6.1", "vmcore.raw"))
	}
	k := openKernel(b, name)
	size := int64(0)
	for p, err := range k.Dump().Pages(b.Context()) {
		if err != nil {
			b.Fatal(err)
		}
		size += int64(len(p.Data))
	}
	for name, s := range map[string]kernel.Search{
		"value": {Values: []uint64{0x0123456789abcdef}},
		"word":  {Values: []uint64{0xdeadbeef, 0xcafebabe}, Width: 4},
		"text":  {Texts: []string{"no such text"}},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range k.SearchPhys(b.Context(), s, 0, 0) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
