package kernel_test

import (
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
)

// TestFindPerCPUOffsets: the offsets that the image holds, by what they do, are those that
// the symbol names.
func TestFindPerCPUOffsets(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		if testing.Short() && g.Name != "tiny" {
			t.Skip("looks at whole images: not with -short")
		}
		offs := g.FindPerCPUOffsets()
		if len(offs) != 2 {
			t.Fatalf("%d offsets", len(offs))
		}
		for cpu, off := range offs {
			if want, err := g.PerCPUAddr(0, cpu); err != nil || off != want {
				t.Errorf("CPU %d: %#x, found %#x: %v", cpu, want, off, err)
			}
		}
	})
}
