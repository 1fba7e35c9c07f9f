package dumptest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/kautopsy/kautopsy/phys"
)

// Line tells the state of pages First to Last, both included.
type Line struct {
	First, Last phys.PFN
	State       string   // zero, fill, random, excluded, lost, corrupt, hole
	Args        []string // text of fill, seed of random, damage of corrupt
}

// parseLine reads "page 0x10-0x12 fill TEXT".
func parseLine(words []string) (l Line, err error) {
	if len(words) < 3 || words[0] != "page" {
		return l, fmt.Errorf("want \"page NUMBER STATE\", have %q", words)
	}
	lo, hi, isRange := strings.Cut(words[1], "-")
	if !isRange {
		hi = lo
	}
	first, err := strconv.ParseUint(lo, 0, 64)
	if err != nil {
		return l, err
	}
	last, err := strconv.ParseUint(hi, 0, 64)
	return Line{phys.PFN(first), phys.PFN(last), words[2], words[3:]}, err
}

// content is what page p of the line holds, nil if its state is an absence.
func (l Line) content(size int, p phys.PFN) ([]byte, error) {
	switch l.State {
	case "zero":
		return make([]byte, size), nil
	case "fill":
		if len(l.Args) != 1 || l.Args[0] == "" {
			return nil, fmt.Errorf("page %#x fill: want one text", uint64(p))
		}
		return Fill(size, l.Args[0]), nil
	case "random":
		if len(l.Args) != 1 {
			return nil, fmt.Errorf("page %#x random: want one seed", uint64(p))
		}
		seed, err := strconv.ParseUint(l.Args[0], 0, 64)
		return Random(size, seed+uint64(p-l.First)), err
	}
	return nil, nil
}

// apply gives the line's pages to an image.
func (l Line) apply(m *Image) error {
	if l.State == "excluded" {
		m.Exclude(l.First, l.Last+1)
		return nil
	}
	for p := l.First; p <= l.Last; p++ {
		if err := l.page(m, p); err != nil {
			return err
		}
	}
	return nil
}

func (l Line) page(m *Image, p phys.PFN) error {
	b, err := l.content(m.PageSize, p)
	switch {
	case err != nil:
		return err
	case b != nil:
		m.Set(p, b)
	case l.State == "lost":
		if m.Lost == nil {
			m.Lost = map[phys.PFN]bool{}
		}
		m.Lost[p] = true
	case l.State == "corrupt":
		return l.corrupt(m, p)
	case l.State != "hole":
		return fmt.Errorf("page %#x: unknown state %q", uint64(p), l.State)
	}
	return nil
}

// corrupt stores a page of text, damaged.
func (l Line) corrupt(m *Image, p phys.PFN) error {
	if len(l.Args) != 1 {
		return fmt.Errorf("page %#x corrupt: want one damage", uint64(p))
	}
	d, err := ParseDamage(l.Args[0])
	if err != nil {
		return err
	}
	m.Set(p, Fill(m.PageSize, "corrupt "))
	if m.Damage == nil {
		m.Damage = map[phys.PFN]Damage{}
	}
	m.Damage[p] = d
	return nil
}

// ParseDamage reads "payload[7]^=0x40" (a byte of the stored page, counted from its end
// if negative) or "desc.size=0" (a member of its descriptor).
func ParseDamage(s string) (Damage, error) {
	if rest, ok := strings.CutPrefix(s, "payload["); ok {
		at, mask, _ := strings.Cut(rest, "]^=")
		i, err := strconv.Atoi(at)
		if err != nil {
			return nil, err
		}
		x, err := strconv.ParseUint(mask, 0, 8)
		return flip(i, byte(x)), err
	}
	name, value, ok := strings.Cut(s, "=")
	if !ok {
		return nil, fmt.Errorf("unknown damage %q", s)
	}
	v, err := strconv.ParseInt(value, 0, 64)
	if err != nil {
		return nil, err
	}
	return setDesc(name, v)
}

func flip(i int, mask byte) Damage {
	return func(stored []byte, _ *Desc) []byte {
		if i < 0 {
			i += len(stored)
		}
		stored[i] ^= mask
		return stored
	}
}

func setDesc(name string, v int64) (Damage, error) {
	set, ok := map[string]func(*Desc){
		"desc.offset": func(d *Desc) { d.Offset = v },
		"desc.size":   func(d *Desc) { d.Size = uint32(v) },
		"desc.flags":  func(d *Desc) { d.Flags = uint32(v) },
	}[name]
	if !ok {
		return nil, fmt.Errorf("unknown damage %q", name)
	}
	return func(stored []byte, d *Desc) []byte { set(d); return stored }, nil
}
