package vmcore

import (
	"errors"
	"io"

	"github.com/kautopsy/kautopsy/elfcore"
	"github.com/kautopsy/kautopsy/internal/elfnote"
)

// openELF opens an ELF vmcore; package elfcore has the format.
func openELF(r io.ReaderAt, size int64, _ *Options) (Container, Header, error) {
	f, err := elfcore.New(r, size)
	var not *elfcore.NotCore
	if errors.As(err, &not) {
		err = &NotADump{What: not.What, Do: not.Do}
	}
	if err != nil {
		return nil, Header{}, err
	}
	h := Header{
		Format: "elf", Version: 1, Parts: 1,
		Arch: f.Header.Arch(), Order: f.Header.Order, PtrSize: f.Header.PtrSize(),
		DumpLevel: -1, Codec: "none",
		Notes: f.Notes, EraseInfo: eraseInfo(f),
		Segments:   make([]Segment, len(f.Segments)),
		Incomplete: f.Incomplete, Problems: f.Problems,
	}
	for i, s := range f.Segments {
		h.Segments[i] = Segment(s)
	}
	return f, h, nil
}

// eraseInfo is what makedumpfile -E erased, from the note that it appends.
func eraseInfo(f *elfcore.File) []byte {
	for _, area := range f.Notes {
		for n, err := range elfnote.All(area, f.Header.Order) {
			if err == nil && n.Name == "ERASEINFO" && n.Type == elfnote.TypeEraseInfo {
				return n.Desc
			}
		}
	}
	return nil
}
