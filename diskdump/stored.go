package diskdump

import (
	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/internal/codec"
)

// storedPiece is how many descriptors are read at once.
const storedPiece = 4096

// Stored counts the pages of this file by the codec that their descriptors name ("none",
// "zlib", …), without reading the pages: 24 bytes a page. Descriptors that were never
// written or name no codec are not counted.
func (f *File) Stored() (map[string]uint64, error) {
	n, err := f.partPages()
	if err != nil {
		return nil, err
	}
	count := make(map[codec.Method]uint64)
	for k := uint64(0); k < n; k += storedPiece {
		want := min(storedPiece, n-k) * descSize
		raw, err := bin.ReadN(f.r, f.size, f.data+int64(k)*descSize, want, storedPiece*descSize)
		for ; len(raw) >= descSize; raw = raw[descSize:] {
			if d := f.decodeDesc(raw); f.check(d) == nil {
				count[codec.Method(d.flags)]++
			}
		}
		if err != nil {
			break
		}
	}
	names := make(map[string]uint64)
	for m, pages := range count {
		if m == codec.Raw || m&codec.Mask == m {
			names[m.String()] += pages
		}
	}
	return names, nil
}

// Stored counts the pages of all parts by codec, see File.Stored.
func (s *Set) Stored() (map[string]uint64, error) {
	all := make(map[string]uint64)
	for _, f := range s.parts {
		part, err := f.Stored()
		if err != nil {
			return nil, err
		}
		for name, pages := range part {
			all[name] += pages
		}
	}
	return all, nil
}
