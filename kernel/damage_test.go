package kernel_test

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/vmcore"
)

// answers is all that a dump tells: lines of the log and of the symbol table.
type answers struct{ lines, symbols map[string]bool }

// patience bounds what a damaged dump of some kilobytes may take.
const patience = 30 * time.Second

// ask opens what may be left of a dump and asks it everything. What cannot be had has to
// come with a reason.
func ask(file []byte) (a answers, err error) {
	a = answers{map[string]bool{}, map[string]bool{}}
	d, err := vmcore.New(bytes.NewReader(file), int64(len(file)), nil)
	if err != nil {
		return a, reasoned(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	k, err := kernel.Open(d, &kernel.Options{Context: ctx})
	if err != nil {
		return a, reasoned(err)
	}
	log, lerr := k.LogText(ctx)
	for line := range strings.Lines(string(log)) {
		a.lines[line] = true
	}
	all, serr := k.AllSymbols(ctx)
	if all != nil {
		for s := range all.All() {
			a.symbols[s.String()] = true
		}
	}
	errs := []error{lerr, serr, ctx.Err()}
	for _, m := range k.System(ctx).Missing {
		errs = append(errs, m.Err)
	}
	_, err = d.Verify(ctx, nil)
	_, cerr := d.CPUs()
	for _, err := range append(errs, err, cerr) {
		if err := reasoned(err); err != nil {
			return a, err
		}
	}
	return a, nil
}

// reasoned is an error that says nothing a caller could branch on.
func reasoned(err error) error {
	known := []error{vmcore.ErrNotDump, vmcore.ErrNoVMCoreInfo, kernel.ErrNoLog, symbols.ErrNoSymbol}
	for _, k := range known {
		if errors.Is(err, k) {
			return nil
		}
	}
	if err != nil && phys.Reason(err) == nil {
		return fmt.Errorf("without a reason: %w", err)
	}
	return nil
}

// invented is something that the whole dump does not say.
func (a answers) invented(whole answers) string {
	for line := range a.lines {
		if !whole.lines[line] {
			return line
		}
	}
	for s := range a.symbols {
		if !whole.symbols[s] {
			return s
		}
	}
	return ""
}

// containers writes one machine in several containers.
func containers(t *testing.T) map[string][]byte {
	t.Helper()
	m := newMachine(t)
	withBanner(m)
	notes := dumptest.Note(m.order, "VMCOREINFO", 0, []byte(m.info.String()))
	asELF, err := m.image.ELF(dumptest.ELF{Notes: notes, Machine: elf.EM_X86_64})
	if err != nil {
		t.Fatal(err)
	}
	avml, err := m.image.AVML()
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"kdump": m.file(), "elf": asELF, "lime": m.image.LiME(), "avml": avml,
		"flattened kdump": dumptest.Flatten(m.file(), dumptest.Flat{Piece: 3000, Shuffle: 9}),
		"flattened elf":   dumptest.Flatten(asELF, dumptest.Flat{Piece: 3000}),
	}
}

// TestTruncated cuts a dump at every hundredth of it: what is left is answered, what is
// not has a reason, and nothing is invented.
func TestTruncated(t *testing.T) {
	for name, file := range containers(t) {
		t.Run(name, func(t *testing.T) {
			whole, err := ask(file)
			if err != nil {
				t.Fatal(err)
			}
			if has := name != "lime" && name != "avml"; has && (len(whole.lines) != 3 || len(whole.symbols) != 8) {
				t.Fatalf("the whole dump has %d lines and %d symbols", len(whole.lines), len(whole.symbols))
			}
			for percent := range 100 {
				part, err := ask(file[:len(file)*percent/100])
				if err != nil {
					t.Errorf("cut at %d%%: %v", percent, err)
				}
				if s := part.invented(whole); s != "" {
					t.Errorf("cut at %d%%: says %q", percent, s)
				}
			}
		})
	}
}

// TestFlipped damages single bytes all over a dump: no panic, no hang, and a reason for
// what is not there. Bytes of the memory itself may be other ones, that no reader can tell.
func TestFlipped(t *testing.T) {
	n := 500
	if testing.Short() {
		n = 50
	}
	for name, file := range containers(t) {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			for range n {
				at, bit := r.IntN(len(file)), byte(1)<<r.IntN(8)
				file[at] ^= bit
				if _, err := ask(file); err != nil {
					t.Errorf("bit %#x of byte %#x: %v", bit, at, err)
				}
				file[at] ^= bit
			}
		})
	}
}

// TestFlippedMemory damages the memory that the kernel's own structures lie in, which no
// checksum guards.
func TestFlippedMemory(t *testing.T) {
	n := 800
	if testing.Short() {
		n = 80
	}
	m := newMachine(t)
	withBanner(m)
	pfns := m.image.PFNs()
	r := rand.New(rand.NewPCG(3, 4))
	for range n {
		page, at, v := m.image.Pages[pfns[r.IntN(len(pfns))]], r.IntN(pageSize/8)*8, r.Uint64()>>r.IntN(64)
		was := m.order.Uint64(page[at:])
		m.order.PutUint64(page[at:], v)
		if _, err := ask(m.rawFile()); err != nil {
			t.Errorf("byte %#x: %v", at, err)
		}
		m.order.PutUint64(page[at:], was)
	}
}
