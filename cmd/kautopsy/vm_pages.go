package main

import (
	"fmt"
	"io"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/mm"
)

// mappedPages are the pages of the mappings of an address space, in their order.
func mappedPages(env *environment, k *kernel.Kernel, s addressSpace) (pages [][]kernel.UserPages, lack []kernel.Missing) {
	what := fmt.Sprintf("pages of task %d", s.task.PID)
	u, err := k.UserMemory(s.mm)
	if err != nil {
		return nil, append(lack, kernel.NewMissing(what, err, ""))
	}
	pages = make([][]kernel.UserPages, len(s.vmas))
	for i, v := range s.vmas {
		for p, err := range u.Pages(env.ctx, v.Start, v.End) {
			if err != nil {
				lack = append(lack, kernel.NewMissing(what, err, fmt.Sprintf("pages of %#x-%#x", p.Start, p.End)))
				continue
			}
			pages[i] = append(pages[i], p)
		}
	}
	return pages, lack
}

// printPages prints where the pages of a mapping are: a line for each that is in memory, and
// one for each run of those that are not.
func printPages(w io.Writer, v mm.VMA, pages []kernel.UserPages, pageSize int) {
	fmt.Fprintln(w, "VIRTUAL           PHYSICAL")
	for _, p := range pages {
		n := (p.End - p.Start) / uint64(pageSize)
		many := ""
		if n > 1 {
			many = fmt.Sprintf("  (%d pages)", n)
		}
		fmt.Fprintf(w, "%-16x  %s%s\n", p.Start, whereIs(v, p), many)
	}
}

// whereIs says where the first of pages is, in crash's words: in memory, elsewhere, in the
// file from which it would be read.
func whereIs(v mm.VMA, p kernel.UserPages) string {
	switch {
	case p.Mapped:
		return fmt.Sprintf("%x", uint64(p.Addr))
	case p.Entry != 0:
		return fmt.Sprintf("(not in memory: swapped out or being moved, entry %x)", p.Entry)
	case v.File != 0:
		return fmt.Sprintf("FILE: %s  OFFSET: %x", printable(v.Name), v.Offset+p.Start-v.Start)
	}
	return "(not mapped)"
}

// pageRunJSON is one page in memory, or a run of pages that are not.
type pageRunJSON struct {
	Start    hexAddress  `json:"start"`
	End      hexAddress  `json:"end"`
	Physical *hexAddress `json:"physical"`
	Entry    *hexAddress `json:"entry,omitempty"`
}

func newPageRuns(pages []kernel.UserPages) []pageRunJSON {
	list := make([]pageRunJSON, 0, len(pages))
	for _, p := range pages {
		j := pageRunJSON{Start: hexAddress(p.Start), End: hexAddress(p.End)}
		switch {
		case p.Mapped:
			at := hexAddress(p.Addr)
			j.Physical = &at
		case p.Entry != 0:
			entry := hexAddress(p.Entry)
			j.Entry = &entry
		}
		list = append(list, j)
	}
	return list
}
