package symbols_test

import (
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/symbols"
)

// TestAt: what lies at an offset is a member that Member finds there.
func TestAt(t *testing.T) {
	ts, err := guesttest.Tiny(t).Kernel.Types()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"struct task_struct", "struct page", "struct mm_struct", "struct sk_buff"} {
		typ, err := symbols.Find(ts, name)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for off := range typ.Size() {
			for _, m := range typ.At(off) {
				from, size := m.Bytes()
				again, err := typ.Member(m.Name)
				if err != nil || again.Offset != m.Offset || again.Type() != m.Type() || off < from || off >= from+size {
					t.Fatalf("%s: %q is said to be at %d: %+v, %v", name, m.Name, off, again, err)
				}
				seen++
			}
		}
		if seen == 0 {
			t.Errorf("%s is empty", name)
		}
	}
	head, err := symbols.Find(ts, "struct list_head")
	if err != nil {
		t.Fatal(err)
	}
	if got := head.At(12); len(got) != 1 || got[0].Name != "prev" {
		t.Errorf("%+v", got)
	}
	if got := head.At(16); got != nil {
		t.Errorf("behind the end: %+v", got)
	}
	page, err := symbols.Find(ts, "struct page")
	if err != nil {
		t.Fatal(err)
	}
	if got := page.At(8); len(got) < 2 {
		t.Errorf("the unions of struct page: %+v", got)
	}
}
