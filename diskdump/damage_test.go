package diskdump_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
)

// truth is what an undamaged dump gives for each page.
func truth(t testing.TB, s dumptest.Source) (pages [][]byte, why []error) {
	t.Helper()
	for p := range s.MaxPFN() {
		b := make([]byte, s.PageSize())
		n, err := s.ReadPage(p, b)
		pages, why = append(pages, b[:n]), append(why, phys.Reason(err))
	}
	return pages, why
}

// TestTruncated cuts a dump at every byte: it opens or says that it is cut, a page is
// either what it was or lost, and nothing else changes.
func TestTruncated(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 61
	}
	truncated(t, fileOf(t, small), step)
	wraps := []string{"codec raw keepzero", "flat", "flat shuffle 5", "split 2 flat shuffle 6", "version 3 flat shuffle 8"}
	for _, wrap := range wraps {
		files, err := parse(t, small+"\n"+wrap).Build()
		if err != nil {
			t.Fatal(err)
		}
		t.Run(wrap, func(t *testing.T) { truncated(t, files[len(files)-1], 29*step) })
	}
}

// truncated cuts one file at every step.
func truncated(t *testing.T, file []byte, step int) {
	t.Helper()
	pages, why := truth(t, openBytes(t, file))
	for n := 0; n < len(file); n += step {
		f, err := openFile(file[:n])
		if err != nil {
			if r := phys.Reason(err); n >= len(diskdump.SignatureFlat) && r != phys.ErrLost && r != phys.ErrCorrupt {
				t.Fatalf("cut at %#x: open says %v", n, err)
			}
			continue
		}
		err = sameOrLost(f, pages, why)
		if err == nil && n/step%16 == 0 {
			err = dumptest.CheckBatches(f)
		}
		if err != nil {
			t.Fatalf("cut at %#x: %v", n, err)
		}
	}
}

// sameOrLost compares a damaged dump with what it was.
func sameOrLost(s dumptest.Source, pages [][]byte, why []error) error {
	b := make([]byte, s.PageSize())
	for p := range pages {
		n, err := s.ReadPage(phys.PFN(p), b)
		switch {
		case err == nil && !bytes.Equal(b[:n], pages[p]):
			return fmt.Errorf("page %#x: wrong bytes, without an error (it was %v)", p, why[p])
		case err != nil && n != 0:
			return fmt.Errorf("page %#x: %d bytes beside %v", p, n, err)
		case err != nil && phys.Reason(err) != phys.ErrLost && phys.Reason(err) != why[p]:
			return fmt.Errorf("page %#x: %v, was %v", p, err, why[p])
		case err != nil:
			if err := dumptest.CheckPageError(s, phys.PFN(p), err); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestHeaderFields sets each field of both headers to 0, 1 and its extremes: no panic, no
// wrong page, and every error has a reason.
func TestHeaderFields(t *testing.T) {
	for _, s := range shapes() {
		o := options(s, binary.LittleEndian)
		o.VMCoreInfo, o.EraseInfo = layoutInfo, "erase x\n"
		file, err := layoutImage(4096).KDUMP(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range s.main.Fields() {
			setField(t, file, f, o.Order)
		}
		for _, f := range s.sub.Fields(6) {
			f.Off += 4096
			setField(t, file, f, o.Order)
		}
	}
}

func setField(t *testing.T, file []byte, field dumptest.Field, order binary.ByteOrder) {
	t.Helper()
	top := ^uint64(0) >> (64 - 8*field.Size)
	for _, v := range []uint64{0, 1, top >> 1, top>>1 + 1, top - 1, top} {
		b := bytes.Clone(file)
		dumptest.Put(b, order, []dumptest.Field{field}, field.Name, v)
		if err := useDump(b); err != nil {
			t.Errorf("%s = %#x: %v", field.Name, v, err)
		}
	}
}

// useDump opens a dump and uses all of it within bounds. It tells what is wrong: an error
// without a reason, or one that does not name its page.
func useDump(b []byte) error {
	f, err := openFile(b)
	if err != nil {
		if phys.Reason(err) == nil {
			return fmt.Errorf("open: no reason: %w", err)
		}
		return nil
	}
	for _, p := range f.Problems {
		if phys.Reason(p) == nil {
			return fmt.Errorf("problem without a reason: %w", p)
		}
	}
	if err := errors.Join(useRuns(f), dumptest.CheckBatches(f)); err != nil {
		return err
	}
	_, err = f.Counts()
	return err
}

// useRuns walks the first runs and reads the first pages of each.
func useRuns(f *diskdump.File) error {
	runs, end := 0, phys.PFN(0)
	for run, err := range f.Runs() {
		if err != nil {
			return fmt.Errorf("runs: %w", err)
		}
		if run.Start < end || run.End <= run.Start {
			return fmt.Errorf("run %v behind %#x", run, uint64(end))
		}
		end = run.End
		for p := run.Start; p < min(run.End, run.Start+4); p++ {
			if err := usePage(f, p, run.Why); err != nil {
				return err
			}
		}
		if runs++; runs > 200 {
			break
		}
	}
	return usePage(f, f.MaxPFN(), phys.ErrHole)
}

// usePage reads a page and compares what it gives with what its run says.
func usePage(f *diskdump.File, p phys.PFN, why error) error {
	b := make([]byte, f.PageSize())
	n, err := f.ReadPage(p, b)
	switch {
	case err == nil && (n != len(b) || why != nil):
		return fmt.Errorf("page %#x: %d bytes, and its run says %v", uint64(p), n, why)
	case err != nil && phys.Reason(err) == nil:
		return fmt.Errorf("page %#x: no reason: %w", uint64(p), err)
	case err != nil && why == nil && !phys.Damage(err):
		return fmt.Errorf("page %#x has a descriptor: %w", uint64(p), err)
	case err != nil && why != nil && phys.Reason(why) != phys.Reason(err):
		return fmt.Errorf("page %#x: %w, and its run says %v", uint64(p), err, why)
	case err != nil:
		return dumptest.CheckPageError(f, p, err)
	}
	return nil
}

// TestDescriptorFields sets the fields of a descriptor to all that can be wrong.
func TestDescriptorFields(t *testing.T) {
	const text = "format kdump keepzero codec zlib\npage 0 fill \"good \"\npage 1 corrupt "
	tests := []struct {
		damage string
		want   error
	}{
		{"desc.size=0", phys.ErrCorrupt},
		{"desc.size=1", phys.ErrCorrupt},
		{"desc.size=0x1000", phys.ErrLost}, // reaches over the end
		{"desc.size=-1", phys.ErrCorrupt},
		{"desc.offset=0", phys.ErrCorrupt},
		{"desc.offset=1", phys.ErrCorrupt},
		{"desc.offset=-1", phys.ErrCorrupt},
		{"desc.offset=-9223372036854775808", phys.ErrCorrupt},
		{"desc.offset=9223372036854775807", phys.ErrLost},
		{"desc.offset=0x4001", phys.ErrCorrupt},
		{"desc.flags=0", phys.ErrCorrupt},
		{"desc.flags=2", phys.ErrCorrupt},
		{"desc.flags=4", phys.ErrCorrupt},
		{"desc.flags=0x20", phys.ErrCorrupt},
		{"desc.flags=0x21", phys.ErrCorrupt},
		{"desc.flags=8", phys.ErrCorrupt},
		{"desc.flags=-1", phys.ErrCorrupt},
		{"payload[-1]^=1", phys.ErrCorrupt},
		{"payload[2]^=7", phys.ErrCorrupt},
	}
	for _, tt := range tests {
		f := openBytes(t, fileOf(t, text+tt.damage))
		pageOf(t, f, 0)
		_, err := f.ReadPage(1, make([]byte, 4096))
		if phys.Reason(err) != tt.want {
			t.Errorf("%s: %v, want %v", tt.damage, err, tt.want)
		}
		if err := dumptest.CheckPageError(f, 1, err); err != nil {
			t.Errorf("%s: %v", tt.damage, err)
		}
	}
}

// TestBitmap2Alone: a bit of the second bitmap that
// the first does not have still counts, since it decides where descriptors are.
func TestBitmap2Alone(t *testing.T) {
	file := fileOf(t, small)
	clear(file[2*4096 : 3*4096])
	f := openBytes(t, file)
	if got := pageOf(t, f, 0x40); !bytes.HasPrefix(got, []byte("sixty-four")) {
		t.Errorf("page holds %.12q", got)
	}
	if _, err := f.ReadPage(5, make([]byte, 4096)); phys.Reason(err) != phys.ErrHole {
		t.Errorf("page 5: %v", err)
	}
}

// TestIncomplete: a dump that the writer could not finish says so, and what it calls
// excluded may be lost.
func TestIncomplete(t *testing.T) {
	f := openBytes(t, fileOf(t, small+"\nincomplete\npage 0x45 lost"))
	if len(f.Problems) != 1 || !errors.Is(f.Problems[0], phys.ErrLost) {
		t.Errorf("problems %v", f.Problems)
	}
	for p, want := range map[phys.PFN]error{5: phys.ErrExcluded, 0x45: phys.ErrLost, 7: phys.ErrHole} {
		if _, err := f.ReadPage(p, make([]byte, 4096)); phys.Reason(err) != want {
			t.Errorf("page %#x: %v, want %v", uint64(p), err, want)
		}
	}
	if f.Codec() != "zlib" {
		t.Errorf("codec %q", f.Codec())
	}
}

// TestComplete: the last descriptors tell whether the file's end is there.
func TestComplete(t *testing.T) {
	for _, words := range []string{"", "codec raw", "codec mixed order be", "flat", "split 3", "version 1"} {
		files, err := parse(t, spread+"\n"+words).Build()
		if err != nil {
			t.Fatal(err)
		}
		last := files[len(files)-1]
		if err := openBytes(t, last).Complete(); err != nil {
			t.Errorf("%q: %v", words, err)
		}
		for _, less := range []int{100, 1500, len(last) - 5*4096 - 30} {
			if err := openBytes(t, last[:len(last)-less]).Complete(); !errors.Is(err, phys.ErrLost) {
				t.Errorf("%q, %d bytes less: %v", words, less, err)
			}
		}
	}
	if err := openBytes(t, fileOf(t, spread+"\npage 199 lost")).Complete(); !errors.Is(err, phys.ErrLost) {
		t.Errorf("last descriptor not written: %v", err)
	}
}
