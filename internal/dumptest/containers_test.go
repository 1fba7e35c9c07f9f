package dumptest_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// pages reads a dump page by page, as its container does.
type pages struct{ *vmcore.Dump }

func (d pages) ReadPage(p phys.PFN, b []byte) (int, error) {
	span := phys.PageSpan(p, 1, d.PageSize())
	n, err := d.ReadPhys(b, span.Start)
	var pe *phys.PageError
	if errors.As(err, &pe) && pe.Span.Contains(span.Start) { // it can be longer than the page
		err = &phys.PageError{Op: pe.Op, Span: span, Off: pe.Off, Err: pe.Err}
	}
	return n, err
}

// TestContainers: one expectation holds for every container of one image.
func TestContainers(t *testing.T) {
	r, expect := dumptest.Load(t, "../../testdata/recipes/states.txtar")
	for _, format := range []string{"kdump", "diskdump", "elf", "lime", "avml"} {
		for _, flat := range []*dumptest.Flat{nil, {Piece: 5000, Shuffle: 2}} {
			if flat != nil && (format == "lime" || format == "avml") { // never flattened
				continue
			}
			t.Run(format, func(t *testing.T) {
				v := *r
				v.Format, v.Flat = format, flat
				files, err := v.Build()
				if err != nil {
					t.Fatal(err)
				}
				d, err := vmcore.New(bytes.NewReader(files[0]), int64(len(files[0])), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				if d.Header.Flattened != (flat != nil) {
					t.Errorf("flattened %v", d.Header.Flattened)
				}
				expect.In(format).Check(t, pages{d})
			})
		}
	}
}
