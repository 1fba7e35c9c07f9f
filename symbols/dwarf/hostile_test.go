package dwarf_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// patched is a file with bytes changed and, perhaps, cut; it counts what is read of it.
type patched struct {
	base  io.ReaderAt
	size  int64
	edits map[int64][]byte
	read  atomic.Int64
}

func (p *patched) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || off >= p.size {
		return 0, io.EOF
	}
	want := len(b)
	b = b[:min(int64(len(b)), p.size-off)]
	n, err := p.base.ReadAt(b, off)
	p.read.Add(int64(n))
	for at, e := range p.edits {
		for i, v := range e {
			if k := at + int64(i) - off; k >= 0 && k < int64(n) {
				b[k] = v
			}
		}
	}
	if err == nil && n < want {
		err = io.EOF
	}
	return n, err
}

// region is a part of a file that readers trust.
type region struct{ off, size int64 }

// regions are the headers and the debug sections of a file, with their relocations.
func regions(t testing.TB, r io.ReaderAt, size int64) (out []region) {
	t.Helper()
	e, err := elf.NewFile(io.NewSectionReader(r, 0, size))
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 64)
	if _, err := r.ReadAt(head, 0); err != nil {
		t.Fatal(err)
	}
	out = append(out, region{0, 64}, region{int64(binary.LittleEndian.Uint64(head[0x28:])), 64 * int64(len(e.Sections))})
	for _, s := range e.Sections {
		if strings.Contains(s.Name, ".debug_") || s.Type == elf.SHT_SYMTAB || s.Type == elf.SHT_NOTE {
			out = append(out, region{int64(s.Offset), int64(s.FileSize)})
		}
	}
	return out
}

// mutate changes one to eight places, and now and then cuts the file.
func mutate(r io.ReaderAt, size int64, places []region, rng *rand.Rand) *patched {
	p := &patched{base: r, size: size, edits: map[int64][]byte{}}
	for range 1 + rng.IntN(8) {
		g := places[rng.IntN(len(places))]
		if g.size <= 0 {
			continue
		}
		at := rng.Int64N(g.size)
		if rng.IntN(2) == 0 {
			at %= 256 // heads are what the rest is read by
		}
		edit := make([]byte, 1<<rng.IntN(4))
		kind := rng.IntN(4)
		for i := range edit {
			edit[i] = [4]byte{0, 0xff, byte(rng.Uint32()), 0xff}[kind]
		}
		if kind == 3 {
			edit[len(edit)-1] = 0x7f // the largest signed number
		}
		p.edits[g.off+at] = edit
	}
	if rng.IntN(16) == 0 {
		p.size = rng.Int64N(size)
	}
	return p
}

// readAll asks a file for everything, of at most so many units and addresses.
func readAll(f *dwarf.File, units, addrs int) []error {
	var errs []error
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	_, err := f.BuildID()
	note(err)
	f.Sections()
	n := 0
	for s, err := range f.Symbols() {
		note(err)
		if s.Type == 2 && n < addrs { // STT_FUNC
			n++
			_, err := f.Source(s.Addr + s.Size/2)
			note(err)
			locate(f, s.Addr+s.Size/2, note)
		}
	}
	n = 0
	var e dwarf.Entries
	for u, err := range f.Units() {
		if note(err); u == nil || n == units {
			break
		}
		n++
		_, err := u.Root()
		note(err)
		if err := e.Reset(u); err != nil {
			note(err)
			continue
		}
		walk(&e, note)
	}
	return errs
}

// locate looks for all variables at an address, and at the call that returns there.
func locate(f *dwarf.File, pc uint64, tell func(error)) {
	note := func(err error) {
		if !errors.Is(err, dwarf.ErrOptimised) && !errors.Is(err, dwarf.ErrNoDebug) { // these are answers
			tell(err)
		}
	}
	scopes, err := f.Scopes(pc)
	note(err)
	for _, s := range scopes {
		for _, v := range s.Variables {
			_, err := v.Type()
			note(err)
			m := machine(f, pc)
			m.Entry = func(p dwarf.Passed) (uint64, error) {
				c, err := f.CallSite(pc)
				if err != nil {
					return 0, err
				}
				return c.Value(p, machine(f, pc))
			}
			_, err = v.Locate(m)
			note(err)
		}
	}
	if c, err := f.CallSite(pc + 1); err == nil {
		_, err = c.Target(machine(f, pc))
		note(err)
	}
}

// walk looks at every value of a unit.
func walk(e *dwarf.Entries, note func(error)) {
	var ranges []dwarf.Range
	for e.Next() {
		for _, v := range e.Attrs {
			switch v.Class() {
			case dwarf.ClassString:
				_, err := v.Text()
				note(err)
			case dwarf.ClassAddress:
				_, err := v.Address()
				note(err)
			case dwarf.ClassReference:
				_, err := v.Ref()
				note(err)
			}
		}
		var err error
		ranges, err = e.Ranges(ranges[:0])
		note(err)
		if e.Depth > 2 {
			e.SkipChildren()
		}
	}
	note(e.Err())
}

// TestMutated changes headers and debug sections of a module and of the kernel at random, a
// thousand times: what is read, and the memory it takes, stay bounded, errors have a reason,
// and nothing panics.
func TestMutated(t *testing.T) {
	for _, c := range []struct {
		name        string
		times, some int
	}{{"crashkit.ko", 800, 50}, {"vmlinux.debug.xz", 200, 0}} {
		if testing.Short() {
			c.times = c.some
		}
		if c.times == 0 {
			continue
		}
		_, name := open(t, c.name)
		r, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		st, err := r.Stat()
		if err != nil {
			t.Fatal(err)
		}
		places := regions(t, r, st.Size())
		refused, failed := 0, 0
		for seed := range uint64(c.times) {
			rng := rand.New(rand.NewPCG(14, seed))
			p := mutate(r, st.Size(), places, rng)
			opened, bad := tryFile(t, seed, p)
			if !opened {
				refused++
			} else if bad {
				failed++
			}
		}
		t.Logf("%s: %d mutated, %d not opened, %d answered with errors", c.name, c.times, refused, failed)
		if failed == 0 {
			t.Error("no mutation was noticed")
		}
	}
}

const (
	// mostMemory is what a mutated file may make us allocate in passing, all together.
	mostMemory = 512 << 20
	// mostRead is how many times its size may be read of a file.
	mostRead = 64
)

func tryFile(t testing.TB, seed uint64, p *patched) (opened, failed bool) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := dwarf.Open(p, p.size)
	if err != nil {
		checkReason(t, seed, err)
		return false, true
	}
	defer f.Close()
	errs := readAll(f, 64, 200)
	for _, err := range errs {
		checkReason(t, seed, err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > mostMemory {
		t.Errorf("seed %d: %d MiB were allocated", seed, took>>20)
	}
	if read := p.read.Load(); read > mostRead*max(p.size, 1<<20) {
		t.Errorf("seed %d: %d bytes were read of a file of %d", seed, read, p.size)
	}
	return true, len(errs) > 0
}

func checkReason(t testing.TB, seed uint64, err error) {
	t.Helper()
	if phys.Reason(err) == nil && !errors.Is(err, dwarf.ErrNoDebug) {
		t.Errorf("seed %d: an error without a reason: %v", seed, err)
	}
}

// FuzzOpen reads whatever the fuzzer makes of a module.
func FuzzOpen(f *testing.F) {
	ko, err := os.ReadFile(tiny + "crashkit.ko")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ko)
	f.Add(ko[:4096])
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &patched{base: bytes.NewReader(b), size: int64(len(b))}
		tryFile(t, 0, p)
	})
}
