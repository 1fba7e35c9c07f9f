package mm_test

import (
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel/mm"
)

// TestAreas compares with /proc/vmallocinfo: sizes and callers, without the addresses, which
// the guest did not show, as a multiset. Tasks and the recorder's file system come and go.
func TestAreas(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		m := mm.New(g.Kernel)
		areas, err := m.Areas(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all, err := g.AllSymbols(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]int)
		last := uint64(0)
		for _, a := range areas {
			if a.Start < last || a.End <= a.Start {
				t.Errorf("area %#x-%#x behind %#x", a.Start, a.End, last)
			}
			last = a.End
			if s, _, err := all.At(a.Caller); err == nil {
				got[s.Name]++
			}
		}
		want := make(map[string]int)
		for _, w := range fields(g.Truth(t, "vmallocinfo")) {
			if caller, _, ok := strings.Cut(w[2], "+"); ok {
				want[caller]++
			}
		}
		callers, wrong := 0, 0
		for name, n := range want {
			if callers++; got[name] != n {
				wrong++
				t.Logf("%s has %d areas, had %d", name, got[name], n)
			}
		}
		if callers < 5 || wrong*4 > callers {
			t.Errorf("%d of %d callers have other numbers of areas", wrong, callers)
		}
	})
}
