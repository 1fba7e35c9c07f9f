package kernel_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/vmcore"
)

// TestClock: the clock stands where the crash is said to have been, but for the tick that
// did not come any more.
func TestClock(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		clock, err := g.Clock()
		if g.Name == "arm64" { // its kallsyms names functions only
			if !errors.Is(err, symbols.ErrNoSymbol) {
				t.Errorf("%v, %v", clock, err)
			}
			return
		}
		info, ierr := g.Info()
		if err != nil || ierr != nil {
			t.Fatal(err, ierr)
		}
		crash, ok := info.CrashTime()
		if diff := crash.Sub(clock); !ok || diff < -time.Second || diff > 5*time.Second {
			t.Errorf("the clock stands at %v, the crash was at %v", clock, crash)
		}
	})
}

// TestSystemDate: a dump taken from outside does not tell when; the kernel's clock does.
func TestSystemDate(t *testing.T) {
	whole := guesttest.Tiny(t)
	info, err := whole.Info()
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for line := range bytes.Lines(info.Text()) {
		if !bytes.HasPrefix(line, []byte("CRASHTIME=")) {
			text = append(text, line...)
		}
	}
	d, err := vmcore.Open(whole.Dump().Name(), &vmcore.Options{VMCoreInfo: text})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.Header.Time = time.Time{}
	k, err := kernel.Open(d, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, want := k.System(t.Context()).Date, whole.System(t.Context()).Date
	if diff := want.Sub(got); diff < -time.Second || diff > 5*time.Second {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestNoRegisters: what the notes do not have is no memory that is not there.
func TestNoRegisters(t *testing.T) {
	g := guesttest.Tiny(t)
	_, err := g.Registers(kernel.Task{CPU: 77})
	if !errors.Is(err, phys.ErrHole) || err.Error() != "the notes have no registers of CPU 77" {
		t.Error(err)
	}
}
