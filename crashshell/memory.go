package crashshell

import (
	"context"
	"regexp"
	"strconv"
)

// MemoryInfo is the answer to kmem -i.
type MemoryInfo struct {
	List []MemoryUse `json:"list"`
	Rest []string    `json:"rest,omitempty"` // lines not understood
}

// MemoryUse is a line of it.
type MemoryUse struct {
	Name    string `json:"name"` // "TOTAL MEM", "FREE", "SLAB", …
	Pages   uint64 `json:"pages"`
	Total   string `json:"total,omitempty"` // the same, rounded by crash: "265.2 MB"
	Percent *int   `json:"percent,omitempty"`
	Of      string `json:"of,omitempty"` // the Name of which it is a part
}

var (
	memoryHeading = regexp.MustCompile(`^\s*PAGES\s+TOTAL\s+PERCENTAGE\s*$`)
	memoryRow     = regexp.MustCompile(`^\s*([A-Z]+(?: [A-Z]+)*)\s+(\d+)\s+(\d+(?:\.\d+)?(?: [KMGT]?B)?)\s+(?:-+|(\d+)% of ([A-Z ]+[A-Z]))\s*$`)
)

// ParseMemoryInfo reads the answer to kmem -i. The error is ErrForm.
func ParseMemoryInfo(out []byte) (v MemoryInfo, err error) {
	v.Rest, err = rows(out, memoryHeading, func(line string) bool {
		m := memoryRow.FindStringSubmatch(line)
		if m == nil {
			return false
		}
		u := MemoryUse{Name: m[1], Total: m[3], Of: m[5]}
		u.Pages, _ = strconv.ParseUint(m[2], 10, 64)
		if n := atoi(m[4]); m[4] != "" {
			u.Percent = &n
		}
		v.List = append(v.List, u)
		return true
	})
	return v, err
}

// MemoryInfo asks for the use of memory: kmem -i.
func (s *Session) MemoryInfo(ctx context.Context) (MemoryInfo, error) {
	return ask(ctx, s, ParseMemoryInfo, "kmem -i", nil)
}
