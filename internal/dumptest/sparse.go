package dumptest

import (
	"os"

	"github.com/kautopsy/kautopsy/phys"
)

// Sparse writes the pages of a dump into f as a file of a machine whose memory spans max
// pages: its bitmaps reach that far, and what they do not hold is a hole of the sparse
// file. The pages between those of the dump are holes, or with ram true, excluded memory.
// o has the headers and notes of the dump.
func Sparse(f *os.File, s Source, o KDUMP, max phys.PFN, ram bool) error {
	m, err := ImageOf(s)
	if err != nil {
		return err
	}
	m.MaxPFN = max
	if ram {
		m.Exclude(0, max)
	}
	size, err := m.WriteKDUMP(f, o)
	if err != nil {
		return err
	}
	return f.Truncate(size)
}
