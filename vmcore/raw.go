package vmcore

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/kautopsy/kautopsy/elfcore"
	"github.com/kautopsy/kautopsy/phys"
)

// Raw memory has no header; the machine's map of RAM says what the bytes are. Two
// layouts are in use, here for RAM at a-b and c-d (LiME format=raw and format=padded;
// /dev/mem and /dev/crash are padded too):
//
//	concatenated   | a-b | c-d |                 file size = sum of the ranges
//	padded         |  0  | a-b |  0  | c-d |     file size = end of the last range
//
// The file's size decides, and Header.Format says which was taken.

// errUnlisted is the reason of memory in none of the ranges.
var errUnlisted = fmt.Errorf("no System RAM in the region list: %w", phys.ErrHole)

// openRaw opens raw memory with the ranges of Options.Regions, in the order of the file.
func openRaw(r io.ReaderAt, size int64, o *Options) (Container, Header, error) {
	h := Header{Format: "raw", Parts: 1, DumpLevel: -1, Codec: "none"}
	if o == nil || len(o.Regions) == 0 {
		return nil, h, &NotADump{What: "raw memory or an unknown format", Do: "if it is raw memory, give the machine's /proc/iomem with --regions"}
	}
	sum, end, err := measure(o.Regions)
	if err != nil {
		return nil, h, err
	}
	padded := distance(size, end) < distance(size, sum)
	want, shape := sum, "concatenated"
	if padded {
		want, shape = end, "padded"
	}
	h.Format = "raw-" + shape
	if uint64(size) != want {
		h.Incomplete = uint64(size) < want
		h.Problems = append(h.Problems, fmt.Errorf("raw: taken as %s: %d bytes, the region list asks for %d: %w", shape, size, want, phys.ErrLost))
	}
	return rawMemory(r, size, o.Regions, padded), h, nil
}

// rawMemory maps the ranges to the file.
func rawMemory(r io.ReaderAt, size int64, regions []phys.Span, padded bool) *elfcore.Memory {
	var pieces []elfcore.Piece
	off := int64(0)
	for _, s := range regions {
		if padded {
			off = int64(s.Start)
		}
		pieces = append(pieces, elfcore.Cut(s.Start, s.Len(), off, s.Len(), size, nil)...)
		off += int64(s.Len())
	}
	m := elfcore.NewMemory(r, rawPage, pieces)
	m.Hole(errUnlisted)
	return m
}

// measure gives the file sizes of the two layouts.
func measure(regions []phys.Span) (sum, end uint64, err error) {
	const most = 1 << 60 // beyond any file: the sums below do not overflow
	for _, s := range regions {
		if s.Len() == 0 || s.End > most || sum > most {
			return 0, 0, fmt.Errorf("region %v: %w", s, phys.ErrUnsupported)
		}
		sum += s.Len()
		end = max(end, uint64(s.End))
	}
	return sum, end, nil
}

func distance(size int64, want uint64) uint64 {
	if uint64(size) > want {
		return uint64(size) - want
	}
	return want - uint64(size)
}

// ParseIomem reads the ranges of RAM from the text of /proc/iomem: its top-level lines
// "start-end : System RAM", hexadecimal, the end inclusive. Lines that start with a space
// are parts of the line before them.
func ParseIomem(text []byte) ([]phys.Span, error) {
	var spans []phys.Span
	for line := range strings.Lines(string(text)) {
		place, name, ok := strings.Cut(line, " : ")
		if !ok || strings.TrimSpace(name) != "System RAM" || strings.HasPrefix(line, " ") {
			continue
		}
		s, err := parseRange(place)
		if err != nil {
			return nil, fmt.Errorf("iomem line %q: %w", strings.TrimSpace(line), err)
		}
		spans = append(spans, s)
	}
	if len(spans) == 0 {
		return nil, fmt.Errorf("iomem: no line \"start-end : System RAM\": %w", phys.ErrUnsupported)
	}
	return spans, nil
}

func parseRange(s string) (phys.Span, error) {
	first, last, _ := strings.Cut(s, "-")
	start, err1 := strconv.ParseUint(first, 16, 64)
	end, err2 := strconv.ParseUint(last, 16, 64)
	switch {
	case err1 != nil || err2 != nil:
		return phys.Span{}, fmt.Errorf("want two hexadecimal numbers: %w", phys.ErrCorrupt)
	case start == 0 && end == 0: // the kernel hides the addresses (kernel/resource.c r_show)
		return phys.Span{}, fmt.Errorf("all addresses are 0: read /proc/iomem as root: %w", phys.ErrUnsupported)
	case end < start || end == ^uint64(0):
		return phys.Span{}, fmt.Errorf("ends before it starts: %w", phys.ErrCorrupt)
	}
	return phys.Span{Start: phys.Addr(start), End: phys.Addr(end + 1)}, nil
}
