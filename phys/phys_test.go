package phys_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
)

func reasons() []error {
	return []error{
		phys.ErrExcluded, phys.ErrHole, phys.ErrLost, phys.ErrCorrupt, phys.ErrUnmapped, phys.ErrUnsupported, phys.ErrLimit,
	}
}

// TestReasons: each reason is found through a PageError and text around it, and is no
// other; only lost and corrupt are damage.
func TestReasons(t *testing.T) {
	for _, want := range reasons() {
		pe := &phys.PageError{Op: "read", Span: phys.PageSpan(3, 1, 4096), Off: -1, Err: fmt.Errorf("deep: %w", want)}
		err := fmt.Errorf("reading the log: %w", pe)
		var got *phys.PageError
		if !errors.As(err, &got) || got != pe {
			t.Errorf("%v: no PageError in %v", want, err)
		}
		for _, r := range reasons() {
			if errors.Is(err, r) != (r == want) {
				t.Errorf("error of %v is %v", want, r)
			}
		}
		if phys.Reason(err) != want {
			t.Errorf("reason %v, want %v", phys.Reason(err), want)
		}
		if damage := want == phys.ErrLost || want == phys.ErrCorrupt; phys.Damage(err) != damage {
			t.Errorf("%v: damage %v", want, !damage)
		}
	}
	for _, err := range []error{nil, io.ErrUnexpectedEOF, fmt.Errorf("disk: %w", io.EOF)} {
		if phys.Reason(err) != nil || phys.Damage(err) {
			t.Errorf("%v has a reason", err)
		}
	}
}

func TestPageErrorText(t *testing.T) {
	span := phys.Span{Start: 0x1a3f000, End: 0x1a40000}
	for _, tt := range []struct {
		err  *phys.PageError
		want string
	}{
		{&phys.PageError{Op: "decompress", Span: span, Off: 0x4018, Err: phys.ErrCorrupt}, "decompress physical 0x1a3f000-0x1a40000 at file offset 0x4018: corrupt"},
		{&phys.PageError{Op: "read", Span: span, Off: -1, Err: phys.ErrHole}, "read physical 0x1a3f000-0x1a40000: no memory there"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestSpan(t *testing.T) {
	const top = ^phys.Addr(0)
	tests := []struct {
		first phys.PFN
		n     uint64
		size  int
		want  phys.Span
	}{
		{0, 1, 4096, phys.Span{Start: 0, End: 0x1000}},
		{3, 2, 65536, phys.Span{Start: 0x30000, End: 0x50000}},
		{3, 0, 4096, phys.Span{Start: 0x3000, End: 0x3000}},
		{1<<52 - 1, 1, 4096, phys.Span{Start: 0xfffffffffffff000, End: top}},
		{1<<52 - 2, 5, 4096, phys.Span{Start: 0xffffffffffffe000, End: top}},
		{1 << 52, 1, 4096, phys.Span{Start: top, End: top}},
		{1 << 55, 3, 1 << 20, phys.Span{Start: top, End: top}},
		{^phys.PFN(0), 2, 4096, phys.Span{Start: top, End: top}},
		{5, ^uint64(0), 4096, phys.Span{Start: 0x5000, End: top}},
	}
	for _, tt := range tests {
		got := phys.PageSpan(tt.first, tt.n, tt.size)
		if got != tt.want {
			t.Errorf("%d pages of %d from %#x: %v, want %v", tt.n, tt.size, uint64(tt.first), got, tt.want)
		}
		if got.Len() != uint64(tt.want.End-tt.want.Start) {
			t.Errorf("%v has %d bytes", got, got.Len())
		}
	}
}

func TestSpanContains(t *testing.T) {
	s := phys.Span{Start: 0x1000, End: 0x2000}
	for a, want := range map[phys.Addr]bool{0xfff: false, 0x1000: true, 0x1fff: true, 0x2000: false} {
		if s.Contains(a) != want {
			t.Errorf("%#x in %v: %v", uint64(a), s, !want)
		}
	}
	if back := (phys.Span{Start: 2, End: 1}); back.Len() != 0 || back.Contains(1) {
		t.Errorf("%v is not empty", back)
	}
	if s.String() != "0x1000-0x2000" {
		t.Errorf("prints as %s", s)
	}
}

func TestRun(t *testing.T) {
	if n := (phys.Run{Start: 3, End: 10}).Len(); n != 7 {
		t.Errorf("%d pages, want 7", n)
	}
	if n := (phys.Run{Start: 10, End: 3}).Len(); n != 0 {
		t.Errorf("%d pages, want none", n)
	}
}
