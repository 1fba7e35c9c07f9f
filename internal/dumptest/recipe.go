package dumptest

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/kautopsy/kautopsy/phys"
)

// Recipe is a dump described by text: see the package's comment for the words. Its fields
// can be changed before Build, so that one image is written in many ways.
type Recipe struct {
	Format string // kdump, diskdump, elf, lime, avml, raw
	KDUMP  KDUMP  // for kdump and diskdump
	Split  int    // parts, 0 or 1 for a single file
	Flat   *Flat  // nil for a plain file
	CPUs   int    // NT_PRSTATUS notes
	Image  Image
}

// Parse reads a recipe.
func Parse(text string) (*Recipe, error) {
	r := &Recipe{Format: "kdump", KDUMP: DefaultKDUMP(), Image: Image{PageSize: 4096}}
	var pages []Line
	for i, line := range strings.Split(text, "\n") {
		words, err := fields(line)
		if err == nil && len(words) > 0 && words[0] == "page" {
			var l Line
			l, err = parseLine(words)
			pages = append(pages, l)
		} else if err == nil {
			err = r.set(words)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	for _, l := range pages {
		if err := l.apply(&r.Image); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// fields cuts a line into words; a word that begins with a quote is a Go string.
func fields(line string) (words []string, err error) {
	for {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			return words, nil
		}
		if line[0] != '"' {
			word, rest, _ := strings.Cut(line, " ")
			words, line = append(words, word), rest
			continue
		}
		q, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
		word, err := strconv.Unquote(q)
		if err != nil {
			return nil, err
		}
		words, line = append(words, word), line[len(q):]
	}
}

// key is a word that sets something; a flag takes no value.
type key struct {
	flag bool
	set  func(r *Recipe, value string) error
}

// number sets an integer by f.
func number(f func(r *Recipe, n uint64)) key {
	return key{set: func(r *Recipe, value string) error {
		n, err := strconv.ParseUint(value, 0, 64)
		f(r, n)
		return err
	}}
}

func text(f func(r *Recipe) *string) key {
	return key{set: func(r *Recipe, value string) error { *f(r) = value; return nil }}
}

func flag(f func(r *Recipe)) key {
	return key{flag: true, set: func(r *Recipe, _ string) error { f(r); return nil }}
}

func keys() map[string]key {
	return map[string]key{
		"format":     {set: (*Recipe).setFormat},
		"order":      {set: (*Recipe).setOrder},
		"ptr":        {set: (*Recipe).setPtr},
		"time":       {set: (*Recipe).setTime},
		"codec":      {set: func(r *Recipe, v string) error { r.KDUMP.Codec = Codec(v); return nil }},
		"arch":       text(func(r *Recipe) *string { return &r.KDUMP.Utsname[4] }),
		"release":    text(func(r *Recipe) *string { return &r.KDUMP.Utsname[2] }),
		"node":       text(func(r *Recipe) *string { return &r.KDUMP.Utsname[1] }),
		"vmcoreinfo": text(func(r *Recipe) *string { return &r.KDUMP.VMCoreInfo }),
		"eraseinfo":  text(func(r *Recipe) *string { return &r.KDUMP.EraseInfo }),
		"version":    number(func(r *Recipe, n uint64) { r.KDUMP.Version = int(n) }),
		"page":       number(func(r *Recipe, n uint64) { r.Image.PageSize = int(n) }),
		"maxpfn":     number(func(r *Recipe, n uint64) { r.Image.MaxPFN = phys.PFN(n) }),
		"physbase":   number(func(r *Recipe, n uint64) { r.KDUMP.PhysBase = n }),
		"seconds":    number(func(r *Recipe, n uint64) { r.KDUMP.Sec = n }),
		"usec":       number(func(r *Recipe, n uint64) { r.KDUMP.Usec = n }),
		"notes":      number(func(r *Recipe, n uint64) { r.CPUs = int(n) }),
		"split":      number(func(r *Recipe, n uint64) { r.Split = int(n) }),
		"shuffle":    number(func(r *Recipe, n uint64) { r.flat().Shuffle = n }),
		"flat":       flag(func(r *Recipe) { r.flat() }),
		"noend":      flag(func(r *Recipe) { r.flat().NoEnd = true }),
		"overlap":    flag(func(r *Recipe) { r.flat().Overlap = true }),
		"incomplete": flag(func(r *Recipe) { r.KDUMP.Incomplete = true }),
		"single":     flag(func(r *Recipe) { r.KDUMP.Single = true }),
		"relative":   flag(func(r *Recipe) { r.KDUMP.Relative = true }),
		"keepzero":   flag(func(r *Recipe) { r.KDUMP.KeepZero = true }),
	}
}

// set takes the keys and values of a line.
func (r *Recipe) set(words []string) error {
	for len(words) > 0 {
		k, ok := keys()[words[0]]
		if !ok {
			return fmt.Errorf("unknown word %q", words[0])
		}
		value, used := "", 1
		if !k.flag {
			if len(words) < 2 {
				return fmt.Errorf("%s: no value", words[0])
			}
			value, used = words[1], 2
		}
		if err := k.set(r, value); err != nil {
			return fmt.Errorf("%s: %w", words[0], err)
		}
		words = words[used:]
	}
	return nil
}

// flat makes the recipe a flattened one.
func (r *Recipe) flat() *Flat {
	if r.Flat == nil {
		r.Flat = &Flat{}
	}
	return r.Flat
}

func (r *Recipe) setFormat(v string) error {
	r.Format = v
	if v == "diskdump" {
		r.KDUMP.Signature, r.KDUMP.Version = "DISKDUMP", 0
	}
	return nil
}

func (r *Recipe) setOrder(v string) error {
	order, ok := map[string]Order{"le": binary.LittleEndian, "be": binary.BigEndian}[v]
	if !ok {
		return fmt.Errorf("unknown order %q", v)
	}
	r.KDUMP.Order = order
	return nil
}

func (r *Recipe) setPtr(v string) error {
	sub, ok := map[string]Sub{"8": Sub64, "4": SubPadded, "4packed": SubPacked}[v]
	if !ok {
		return fmt.Errorf("unknown ptr %q", v)
	}
	r.KDUMP.Sub = sub
	if sub != Sub64 {
		r.KDUMP.Main = MainA
	}
	return nil
}

// setTime chooses the main header of a 32-bit machine.
func (r *Recipe) setTime(v string) error {
	main, ok := map[string]Main{"32": MainA, "64": MainB}[v]
	if !ok {
		return fmt.Errorf("unknown width %q", v)
	}
	if main == MainB && r.KDUMP.Sub == SubPacked {
		main = MainC
	}
	r.KDUMP.Main = main
	return nil
}
