package bin

import "testing"

// TestZero: one byte that is not zero is found wherever it stands.
func TestZero(t *testing.T) {
	for n := range 100 {
		b := make([]byte, n)
		if !Zero(b) {
			t.Errorf("%d zeros", n)
		}
		for i := range b {
			if b[i] = 0x80; Zero(b) {
				t.Errorf("byte %d of %d not seen", i, n)
			}
			b[i] = 0
		}
	}
}
