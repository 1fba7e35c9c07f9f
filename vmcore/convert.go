package vmcore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/elfcore"
	"github.com/kautopsy/kautopsy/phys"
)

// Conversion says as what a dump is written.
type Conversion struct {
	Format  string  // "kdump" or "elf"
	Codec   string  // of kdump's pages: "none", "zlib", "lzo", "snappy", "zstd"
	Level   int     // the codec's own, 0 for makedumpfile's
	Utsname Utsname // for the header, where the dump has none in its own

	// DumpLevel is makedumpfile's -d for the new dump, as far as Exclude goes beyond the
	// level of this one. Exclude are the pages to leave out, ascending; their Why wraps
	// phys.ErrExcluded.
	DumpLevel int
	Exclude   []phys.Run
}

// Converted is what came of a conversion.
type Converted struct {
	Pages uint64 // that are in the new dump
	Lost  uint64 // that should be and cannot be read
}

// Convert writes the dump in another form: into one output, or the parts of a split set
// (kdump alone) into several. The outputs are empty: what is not written reads as zeros.
// Pages are decoded and encoded on all processors. What is lost or corrupt here is lost in
// the new dump too, which is marked incomplete then. progress, if not nil, is called with
// the pages done and to do.
func (d *Dump) Convert(ctx context.Context, c Conversion, out []io.WriterAt, progress func(done, total uint64)) (Converted, error) {
	counts, err := d.Counts()
	if err != nil {
		return Converted{}, err
	}
	if counts.Present == 0 {
		return Converted{}, fmt.Errorf("there is no page to convert: %w", phys.ErrLost)
	}
	v := &conversion{Conversion: c, d: d, out: out, progress: progress, runs: without(d.Runs(), c.Exclude)}
	if err := v.measure(); err != nil {
		return Converted{}, err
	}
	v.incomplete = d.Header.Incomplete || counts.Lost > 0 || d.Complete() != nil
	switch {
	case c.Format == "kdump":
		err = v.kdump(ctx)
	case c.Format == "elf" && len(out) == 1:
		err = v.elf(ctx)
	default:
		err = fmt.Errorf("format %q in %d files: %w", c.Format, len(out), phys.ErrUnsupported)
	}
	return Converted{Pages: v.done - v.lost, Lost: v.lost}, err
}

// conversion is one that is under way.
type conversion struct {
	Conversion
	d           *Dump
	out         []io.WriterAt
	progress    func(done, total uint64)
	runs        iter.Seq2[phys.Run, error] // what the new dump is to tell of pages
	total, done uint64
	lost        uint64
	gone        []phys.Run // pages that could not be read
	incomplete  bool
}

// measure counts the pages that are to be read.
func (v *conversion) measure() error {
	for run, err := range v.runs {
		if err != nil {
			return err
		}
		if run.Why == nil || phys.Damage(run.Why) {
			v.total += run.Len()
		}
	}
	return nil
}

// count takes note of a batch that was written.
func (v *conversion) count(b *Batch) {
	for i, p := range b.PFN {
		n := uint64(1)
		if err := b.Err[i]; err != nil {
			r := phys.Reason(err)
			if r == phys.ErrHole || r == phys.ErrExcluded {
				continue
			}
			var pe *phys.PageError
			if errors.As(err, &pe) {
				n = max(1, pe.Span.Len()/uint64(v.d.PageSize()))
			}
			v.lost += n
			v.gone = append(v.gone, phys.Run{Start: p, End: p + phys.PFN(n), Why: phys.ErrLost})
		}
		v.done += n
	}
	if v.progress != nil {
		v.progress(v.done, v.total)
	}
}

// coded is what a worker makes of a batch, with the coder it does it with.
type coded struct {
	coder *diskdump.Coder
	pages diskdump.Coded
}

// kdump writes a kdump-compressed file or the parts of a set.
func (v *conversion) kdump(ctx context.Context) error {
	plan, err := v.kdumpPlan(ctx)
	if err != nil {
		return err
	}
	bounds, err := v.bounds(len(v.out))
	if err != nil {
		return err
	}
	var parts []*diskdump.Writer
	for i, w := range v.out {
		plan.Split, plan.First, plan.End = len(v.out) > 1, bounds[i], bounds[i+1]
		part, err := diskdump.NewWriter(w, plan, v.runs)
		if err != nil {
			return err
		}
		parts = append(parts, part)
	}
	err = v.d.scan(ctx, v.runs, v.encode, func(b *Batch) error {
		v.count(b)
		for _, part := range parts {
			if err := part.Write(&b.Out.(*coded).pages); err != nil {
				return err
			}
		}
		return nil
	})
	for _, part := range parts {
		if err == nil {
			err = part.Close()
		}
	}
	return err
}

// encode is a worker's: it encodes the pages of a batch.
func (v *conversion) encode(b *Batch) error {
	k, ok := b.Out.(*coded)
	if !ok {
		coder, err := diskdump.NewCoder(v.Codec, v.Level)
		if err != nil {
			return err
		}
		k = &coded{coder: coder}
		b.Out = k
	}
	k.coder.Encode(&b.Batch, v.d.PageSize(), &k.pages)
	return nil
}

// unit of a part's first page: crash finds the descriptors of a part by whole words of the
// bitmap.
const unit = 64

// bounds cuts the pages into n parts with about as many pages to store each.
func (v *conversion) bounds(n int) ([]phys.PFN, error) {
	goal := func(i int) uint64 { return v.total * uint64(i) / uint64(n) }
	bounds := []phys.PFN{0}
	seen := uint64(0)
	for run, err := range v.runs {
		if err != nil {
			return nil, err
		}
		if run.Why != nil && !phys.Damage(run.Why) {
			continue
		}
		for len(bounds) < n && seen+run.Len() >= goal(len(bounds)) {
			at := run.Start + phys.PFN(goal(len(bounds))-min(seen, goal(len(bounds))))
			bounds = append(bounds, max(bounds[len(bounds)-1], at/unit*unit))
		}
		seen += run.Len()
	}
	for len(bounds) <= n {
		bounds = append(bounds, v.d.MaxPFN())
	}
	return bounds, nil
}

// elf writes an ELF file. Pages that turn out to be lost cannot be told there once the
// headers are written, so the file is begun again without them.
func (v *conversion) elf(ctx context.Context) error {
	plan, err := v.elfPlan(ctx)
	if err != nil {
		return err
	}
	err = v.writeELF(ctx, plan, v.runs)
	if !errors.Is(err, elfcore.ErrUnread) {
		return err
	}
	file, ok := v.out[0].(interface{ Truncate(size int64) error })
	if !ok {
		return fmt.Errorf("damaged pages, and the output cannot be begun again without them: %w", err)
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	gone := v.gone
	v.done, v.lost, v.gone, plan.Incomplete = 0, 0, nil, true
	return v.writeELF(ctx, plan, without(v.runs, gone))
}

func (v *conversion) writeELF(ctx context.Context, plan elfcore.Plan, runs iter.Seq2[phys.Run, error]) error {
	w, err := elfcore.NewWriter(v.out[0], plan, runs)
	if err != nil {
		return err
	}
	err = v.d.scan(ctx, runs, nil, func(b *Batch) error {
		v.count(b)
		return w.Write(&b.Batch)
	})
	if err != nil {
		return err
	}
	return w.Close()
}

// without takes pages out of runs, both ascending: what should be there is absent for the
// reason that is given with it.
func without(runs iter.Seq2[phys.Run, error], gone []phys.Run) iter.Seq2[phys.Run, error] {
	if len(gone) == 0 {
		return runs
	}
	return func(yield func(phys.Run, error) bool) {
		left := gone
		put := func(from, to phys.PFN, why error) bool {
			return from >= to || yield(phys.Run{Start: from, End: to, Why: why}, nil)
		}
		for run, err := range runs {
			if err != nil {
				yield(run, err)
				return
			}
			for len(left) > 0 && left[0].End <= run.Start {
				left = left[1:]
			}
			at := run.Start
			for _, g := range left {
				if g.Start >= run.End || run.Why != nil && !phys.Damage(run.Why) {
					break
				}
				end := min(g.End, run.End)
				if !put(at, g.Start, run.Why) || !put(max(at, g.Start), end, g.Why) {
					return
				}
				at = end
			}
			if !put(at, run.End, run.Why) {
				return
			}
		}
	}
}
