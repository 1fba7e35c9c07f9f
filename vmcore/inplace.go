package vmcore

import (
	"fmt"
	"runtime/debug"

	"github.com/kautopsy/kautopsy/phys"
)

// The pages of a scan may lie in a mapped file (Options.Map). If that is cut meanwhile, whoever
// looks at them faults, or sees zeros in the page of memory where the cut is; its last byte
// then faults, see mappedFile.

// errCutMapped ends a scan whose caller was looking at a file that was cut.
var errCutMapped = fmt.Errorf("the file was cut, or could not be read, under a mapping: %w", phys.ErrLost)

// fill reads the pages of a batch: what a mapping cannot give, by reads.
func (s *scan) fill(b *Batch) {
	b.Mapped, b.InPlace = s.d.mapped, s.d.mapped && s.inPlace
	if b.Mapped && s.look(b) {
		return
	}
	b.Mapped, b.InPlace = false, false
	s.d.readPages(&b.Batch)
}

// look reads the pages of a batch from mapped files; false if one of them was cut.
func (s *scan) look(b *Batch) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			mustBeFault(v)
		}
	}()
	s.d.readPages(&b.Batch)
	return b.Whole()
}

// call lets the scan's caller look at a batch.
func (b *Batch) call(f func(*Batch) error) (err error) {
	if !b.InPlace {
		return f(b)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			mustBeFault(v)
			err = errCutMapped
		}
	}()
	err = f(b)
	if !b.Whole() {
		err = errCutMapped
	}
	return err
}

// mustBeFault panics again unless v is the panic of memory that cannot be read.
func mustBeFault(v any) {
	if _, ok := v.(interface{ Addr() uintptr }); !ok { // see debug.SetPanicOnFault
		panic(v)
	}
}
