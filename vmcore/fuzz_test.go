package vmcore_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// fuzzPages bounds the pages that are read of one input: a few bytes of header can
// promise very many.
const fuzzPages = 1 << 14

// FuzzOpen opens anything as a dump and uses it: its runs, its pages, its notes,
// VMCOREINFO and CPUs. Every refusal has a reason, and what the tables say of a page is
// what reading it gives.
func FuzzOpen(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		d, err := vmcore.New(bytes.NewReader(file), int64(len(file)), nil)
		if err != nil {
			if phys.Reason(err) == nil && !errors.Is(err, vmcore.ErrNotDump) {
				t.Errorf("refused without a reason: %v", err)
			}
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		usePages(t, d)
		useRest(ctx, t, d)
	})
}

// seeds are the recipes in every container.
func seeds(f *testing.F) (files [][]byte) {
	names, err := filepath.Glob("../testdata/recipes/*.txtar")
	if err != nil || len(names) < 4 {
		f.Fatalf("%d recipes, %v", len(names), err)
	}
	for _, name := range names {
		r, _ := dumptest.Load(f, name)
		for _, format := range []string{r.Format, "elf", "lime", "avml"} {
			v := *r
			v.Format = format
			if built, err := v.Build(); err == nil { // not every container can hold every recipe
				files = append(files, built...)
			}
		}
		r.Flat, r.Split = &dumptest.Flat{Piece: 900, Shuffle: 2}, 2
		files = append(files, fileOf(f, r))
	}
	return files
}

// usePages reads the first pages of a dump and holds the answers against its runs.
func usePages(t *testing.T, d *vmcore.Dump) {
	b := make([]byte, d.PageSize())
	left := phys.PFN(fuzzPages)
	var end phys.PFN
	for run, err := range d.Runs() {
		if err != nil || left == 0 {
			break
		}
		if run.Start < end || run.Len() == 0 {
			t.Fatalf("run %+v behind page %#x", run, uint64(end))
		}
		end = run.End
		for p := run.Start; p < run.End && left > 0; p++ {
			left--
			n, err := d.ReadPhys(b, phys.PageSpan(p, 1, len(b)).Start)
			var pe *phys.PageError
			if (err != nil) != (n < len(b)) || err != nil && !errors.As(err, &pe) {
				t.Fatalf("page %#x: %d bytes, %v", uint64(p), n, err)
			}
			same := phys.Reason(err) == phys.Reason(run.Why) || phys.Damage(err) && phys.Damage(run.Why)
			if run.Why != nil && !same && n == 0 {
				t.Fatalf("page %#x: %v by its run, %v read", uint64(p), run.Why, err)
			}
		}
	}
}

// useRest asks a dump what it says of the machine.
func useRest(ctx context.Context, t *testing.T, d *vmcore.Dump) {
	if c, err := d.Counts(); err == nil && c.Present+c.Excluded+c.Lost+c.Hole < uint64(d.MaxPFN()) {
		t.Errorf("counts %+v of %d pages", c, d.MaxPFN())
	}
	for n, err := range d.Notes() {
		if err == nil && len(n.Desc) > 64<<20 {
			t.Errorf("note of %d bytes", len(n.Desc))
		}
	}
	cpus, _ := d.CPUs()
	for _, c := range cpus {
		if v, ok := c.Regs.Get("rip"); ok && v != c.Regs.PC() {
			t.Errorf("CPU %+v", c)
		}
	}
	v, err := d.VMCoreInfo(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if v != nil {
		for key, value := range v.All() {
			if got, ok := v.Value(key); !ok || got != value {
				t.Errorf("%s=%s is %q", key, value, got)
			}
		}
	}
}
