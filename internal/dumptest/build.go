package dumptest

import (
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/kautopsy/kautopsy/phys"
)

// Build writes the dump: one file, or the parts of a split set.
func (r *Recipe) Build() ([][]byte, error) {
	files, err := r.files()
	if err != nil || r.Flat == nil {
		return files, err
	}
	for i := range files {
		files[i] = Flatten(files[i], *r.Flat)
	}
	return files, nil
}

func (r *Recipe) files() ([][]byte, error) {
	switch r.Format {
	case "kdump", "diskdump":
		return r.kdump()
	case "elf":
		return one(r.Image.ELF(ELF{Order: r.KDUMP.Order, Class32: r.KDUMP.Sub != Sub64, Notes: r.notes()}))
	case "lime":
		return one(r.Image.LiME(), nil)
	case "avml":
		return one(r.Image.AVML())
	case "raw":
		return one(r.Image.Raw(), nil)
	}
	return nil, fmt.Errorf("unknown format %q", r.Format)
}

func one(file []byte, err error) ([][]byte, error) { return [][]byte{file}, err }

func (r *Recipe) kdump() ([][]byte, error) {
	o := r.KDUMP
	o.CPUs, o.Notes = max(o.CPUs, r.CPUs), r.prstatus()
	if r.Split < 2 {
		return one(r.Image.KDUMP(o))
	}
	var bounds []phys.PFN
	pages := r.Image.described()
	for i := 1; i < r.Split; i++ {
		bounds = append(bounds, pages[len(pages)*i/r.Split])
	}
	return r.Image.Parts(o, bounds...)
}

// prstatus are the notes of the CPUs, whose pids count from 100.
func (r *Recipe) prstatus() (notes []byte) {
	for i := range r.CPUs {
		notes = append(notes, PRStatus(r.KDUMP.Order, uint32(100+i), [27]uint64{})...)
	}
	return notes
}

// notes are all notes, VMCOREINFO last.
func (r *Recipe) notes() []byte {
	notes := r.prstatus()
	if r.KDUMP.VMCoreInfo != "" {
		notes = append(notes, Note(r.KDUMP.Order, "VMCOREINFO", 0, []byte(r.KDUMP.VMCoreInfo))...)
	}
	return notes
}

// Load reads a txtar file with a recipe ("dump") and what its dump must give ("expect").
func Load(t testing.TB, file string) (*Recipe, Expect) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, f := range txtar.Parse(raw).Files {
		sections[f.Name] = string(f.Data)
	}
	r, err := Parse(sections["dump"])
	if err != nil {
		t.Fatalf("%s: dump: %v", file, err)
	}
	e, err := ParseExpect(sections["expect"])
	if err != nil {
		t.Fatalf("%s: expect: %v", file, err)
	}
	return r, e
}
