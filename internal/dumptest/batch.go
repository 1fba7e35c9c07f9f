package dumptest

import (
	"bytes"
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
)

// BulkSource is a dump that reads pages together.
type BulkSource interface {
	Source
	ReadPages(b *phys.Batch)
}

// maxBatched bounds the pages that CheckBatches reads: a header can promise very many.
const maxBatched = 150

// CheckBatches compares what a dump gives for pages together with what it gives for each
// of them: pages that are neighbours in the file, and those of any state.
func CheckBatches(s BulkSource) error {
	var stored, any []phys.PFN
	for run, err := range s.Runs() {
		if err != nil {
			return fmt.Errorf("runs: %w", err)
		}
		for p := run.Start; run.Why == nil && p < run.End && len(stored) < maxBatched; p++ {
			stored = append(stored, p)
		}
		if len(stored) == maxBatched {
			break
		}
	}
	for p := range min(s.MaxPFN()+2, maxBatched) {
		any = append(any, p)
	}
	var b phys.Batch
	for _, pages := range [][]phys.PFN{stored, any} {
		for _, most := range []int{3, 64} {
			for at := 0; at < len(pages); at += most {
				b.PFN = append(b.PFN[:0], pages[at:min(at+most, len(pages))]...)
				if err := sameSingly(s, &b); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// sameSingly reads a batch and each of its pages.
func sameSingly(s BulkSource, b *phys.Batch) error {
	s.ReadPages(b)
	page := make([]byte, s.PageSize())
	for i, p := range b.PFN {
		n, err := s.ReadPage(p, page)
		if !bytes.Equal(b.Data[i], page[:n]) || fmt.Sprint(b.Err[i]) != fmt.Sprint(err) {
			return fmt.Errorf("page %#x (%d of %d): %d bytes and %v together, %d bytes and %v singly",
				uint64(p), i, len(b.PFN), len(b.Data[i]), b.Err[i], n, err)
		}
	}
	return nil
}
