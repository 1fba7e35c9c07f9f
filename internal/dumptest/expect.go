package dumptest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
)

// Expect is what a dump must give for its pages; pages of which it says nothing must be
// holes.
type Expect []Line

// ParseExpect reads lines of "page RANGE STATE".
func ParseExpect(text string) (Expect, error) {
	var e Expect
	for i, line := range strings.Split(text, "\n") {
		words, err := fields(line)
		if err == nil && len(words) == 0 {
			continue
		}
		var l Line
		if err == nil {
			l, err = parseLine(words)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		e = append(e, l)
	}
	return e, nil
}

// In is the expectation for a format that has no word for an excluded page: there it is a
// hole.
func (e Expect) In(format string) Expect {
	out := append(Expect(nil), e...)
	for i, l := range out {
		if l.State == "excluded" && (format == "lime" || format == "avml") {
			out[i].State = "hole"
		}
	}
	return out
}

// Check reads every page of a dump and compares it, and its runs, with the expectation; a
// dump that reads pages together has to give the same.
func (e Expect) Check(t testing.TB, s Source) {
	t.Helper()
	lines := map[phys.PFN]Line{}
	last := s.MaxPFN()
	for _, l := range e {
		for p := l.First; p <= l.Last; p++ {
			lines[p] = l
			last = max(last, p+1)
		}
	}
	runs := Whys(t, s)
	for p := range last + 1 {
		l, ok := lines[p]
		if !ok {
			l = Line{First: p, Last: p, State: "hole"}
		}
		if err := l.check(s, p); err != nil {
			t.Errorf("page %#x: %v", uint64(p), err)
		}
		if err := checkRun(runs, s, p); err != nil {
			t.Errorf("page %#x: %v", uint64(p), err)
		}
	}
	if bulk, ok := s.(BulkSource); ok {
		if err := CheckBatches(bulk); err != nil {
			t.Error(err)
		}
	}
}

// reasons by the words of lines.
func reason(state string) error {
	return map[string]error{
		"excluded": phys.ErrExcluded, "hole": phys.ErrHole, "lost": phys.ErrLost, "corrupt": phys.ErrCorrupt,
		"unsupported": phys.ErrUnsupported,
	}[state]
}

// check reads page p, which the line describes.
func (l Line) check(s Source, p phys.PFN) error {
	got := bytes.Repeat([]byte{0xa5}, s.PageSize())
	n, err := s.ReadPage(p, got)
	want, wrong := l.content(s.PageSize(), p)
	if wrong != nil {
		return wrong
	}
	if want != nil {
		return sameBytes(got[:n], want, err)
	}
	why := reason(l.State)
	switch {
	case why == nil:
		return fmt.Errorf("unknown state %q", l.State)
	case phys.Reason(err) != why:
		return fmt.Errorf("read %d bytes, error %v, want %q", n, err, why)
	case n != 0:
		return fmt.Errorf("%d bytes beside error %v", n, err)
	}
	return CheckPageError(s, p, err)
}

func sameBytes(got, want []byte, err error) error {
	if err != nil {
		return fmt.Errorf("error %w, want bytes", err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("wrong bytes: have %.16x…, want %.16x…", got, want)
	}
	return nil
}

// CheckPageError tells what is wrong with the error of a page that could not be read: it
// has to be a *phys.PageError that names just that page.
func CheckPageError(s Source, p phys.PFN, err error) error {
	var pe *phys.PageError
	if !errors.As(err, &pe) {
		return fmt.Errorf("error %v is no *phys.PageError", err)
	}
	if want := phys.PageSpan(p, 1, s.PageSize()); pe.Span != want {
		return fmt.Errorf("error names %v, want %v", pe.Span, want)
	}
	return nil
}

// Whys walks the runs of a dump, which have to ascend, and gives each page its run.
func Whys(t testing.TB, s Source) map[phys.PFN]phys.Run {
	t.Helper()
	pages := map[phys.PFN]phys.Run{}
	var end phys.PFN
	for run, err := range s.Runs() {
		if err != nil {
			t.Fatalf("runs: %v", err)
		}
		if run.Start < end || run.Len() == 0 {
			t.Fatalf("run %#x-%#x behind page %#x", uint64(run.Start), uint64(run.End), uint64(end))
		}
		for p := run.Start; p < run.End; p++ {
			pages[p] = run
		}
		end = run.End
	}
	return pages
}

// checkRun compares what the runs say of a page with what reading it gives: a page in a
// run without reason can turn out lost or corrupt, all others are what the runs say.
func checkRun(runs map[phys.PFN]phys.Run, s Source, p phys.PFN) error {
	_, err := s.ReadPage(p, make([]byte, s.PageSize()))
	run, ok := runs[p]
	switch {
	case !ok && phys.Reason(err) != phys.ErrHole:
		return fmt.Errorf("in no run, and read gives %v", err)
	case ok && run.Why == nil && err != nil && !phys.Damage(err):
		return fmt.Errorf("in the file by its run, and read gives %v", err)
	case ok && run.Why != nil && phys.Reason(err) != phys.Reason(run.Why):
		return fmt.Errorf("%v by its run, and read gives %v", run.Why, err)
	}
	return nil
}
