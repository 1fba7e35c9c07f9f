package diskdump

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/kautopsy/kautopsy/phys"
)

// Set is a dump that makedumpfile --split wrote as several files. Parts that are missing
// are no error: their pages are lost, and Missing names them.
type Set struct {
	parts    []*File // by start
	problems []error
}

// Join puts the parts of one dump together, in whatever order they come. Parts of
// different dumps are refused; parts that are missing or overlap are told by Problems.
func Join(parts []*File) (*Set, error) {
	if len(parts) == 0 {
		return nil, errors.New("no part of a split set given")
	}
	s := &Set{parts: slices.Clone(parts)}
	for _, f := range parts {
		if f.SubHeader.Split == 0 && len(parts) > 1 {
			return nil, fmt.Errorf("not a part of a split set: %w", phys.ErrUnsupported)
		}
		if !parts[0].sameDump(f) {
			return nil, fmt.Errorf("parts of different dumps (of %q and %q): %w",
				parts[0].Header.Utsname.Nodename, f.Header.Utsname.Nodename, phys.ErrUnsupported)
		}
	}
	slices.SortStableFunc(s.parts, func(a, b *File) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.end, b.end)) })
	for _, f := range s.parts {
		s.problems = append(s.problems, f.Problems...)
	}
	for _, m := range s.Missing() {
		s.problems = append(s.problems, fmt.Errorf("no part holds pages %#x to %#x: %w", uint64(m.Start), uint64(m.End), phys.ErrLost))
	}
	return s, nil
}

// sameDump tells whether two parts have the same main header but for the incomplete bit.
// The codec is not compared: parts can be compressed in different ways.
func (f *File) sameDump(g *File) bool {
	a, b := f.Header, g.Header
	a.Status, b.Status = 0, 0
	return a == b && f.limit == g.limit && f.Order == g.Order && f.PtrSize == g.PtrSize
}

// Missing are the runs of pages for which no part is there, as bits of the bitmaps.
func (s *Set) Missing() (gaps []phys.Run) {
	at := uint64(0)
	limit := s.parts[0].limit
	for _, f := range s.parts {
		if f.first > at && at < limit {
			gaps = append(gaps, phys.Run{Start: phys.PFN(at), End: phys.PFN(min(f.first, limit)), Why: errMissingPart})
		}
		at = max(at, min(f.end, limit))
	}
	if at < limit {
		gaps = append(gaps, phys.Run{Start: phys.PFN(at), End: phys.PFN(limit), Why: errMissingPart})
	}
	return gaps
}

var errMissingPart = fmt.Errorf("its part of the split set is missing: %w", phys.ErrLost)

// Parts are the files of the set, by their first page.
func (s *Set) Parts() []*File { return s.parts }

// Problems is the damage met while opening the parts and joining them.
func (s *Set) Problems() []error { return s.problems }

// Complete tells whether the ends of all parts are there, see File.Complete.
func (s *Set) Complete() error {
	var errs []error
	for _, f := range s.parts {
		errs = append(errs, f.Complete())
	}
	return errors.Join(errs...)
}

// PageSize is the unit of page numbers, in bytes.
func (s *Set) PageSize() int { return s.parts[0].PageSize() }

// MaxPFN is one past the highest page.
func (s *Set) MaxPFN() phys.PFN { return s.parts[0].MaxPFN() }

// part finds the file that holds the data of the page of bit p, nil if it is missing.
func (s *Set) part(p phys.PFN) *File {
	i, _ := slices.BinarySearchFunc(s.parts, uint64(p), func(f *File, p uint64) int {
		if f.first <= p {
			return -1
		}
		return 1
	})
	for i--; i >= 0; i-- {
		if uint64(p) < s.parts[i].end {
			return s.parts[i]
		}
	}
	return nil
}

// ReadPage reads page p into b, whose length is PageSize. The error is a *phys.PageError.
func (s *Set) ReadPage(p phys.PFN, b []byte) (int, error) {
	f := s.whole()
	if part := s.part(p - min(p, f.base)); part != nil || p < f.base {
		return cmp.Or(part, f).ReadPage(p, b)
	}
	p -= f.base
	have, err := f.dumped.test(p)
	if err != nil {
		return 0, f.pageError("read 2nd bitmap for", p, -1, err)
	}
	if have {
		return 0, f.pageError("read", p, -1, errMissingPart)
	}
	return 0, f.absent(p)
}

// Plain tells whether the parts' headers name no codec.
func (s *Set) Plain() bool { return s.whole().Plain() }

// ReadDirect reads a part of page p, see File.ReadDirect.
func (s *Set) ReadDirect(dst []byte, p phys.PFN, off int) bool {
	base := s.parts[0].base
	if p < base {
		return false
	}
	part := s.part(p - base)
	return part != nil && part.ReadDirect(dst, p, off)
}

// whole is the part whose bitmaps reach furthest: every part has them for the whole dump.
func (s *Set) whole() *File {
	return slices.MaxFunc(s.parts, func(a, b *File) int { return cmp.Compare(a.dumped.bytes, b.dumped.bytes) })
}

// Runs yields the runs of pages of one state, as File.Runs does.
func (s *Set) Runs() iter.Seq2[phys.Run, error] {
	loss := func(p phys.PFN) error {
		if s.part(p) == nil {
			return errMissingPart
		}
		return nil
	}
	return func(yield func(phys.Run, error) bool) { s.whole().runs(loss, yield) }
}

// Counts counts the pages by state; those of missing parts are lost.
func (s *Set) Counts() (Counts, error) {
	c, err := s.whole().countAll()
	for _, m := range s.Missing() {
		lo, err1 := s.whole().rank.of(m.Start)
		hi, err2 := s.whole().rank.of(m.End)
		err = errors.Join(err, err1, err2)
		c.Lost += hi - lo
		c.Present -= hi - lo
	}
	return c, err
}
