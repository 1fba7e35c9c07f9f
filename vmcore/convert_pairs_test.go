package vmcore_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// form is a container: what is written, in how many parts, whether in flattened streams.
type form struct {
	vmcore.Conversion
	parts int
	flat  bool
}

func (f form) String() string {
	name := f.Codec
	if f.Format == "elf" {
		name = "elf"
	}
	if f.parts > 1 {
		name += fmt.Sprintf("-in-%d", f.parts)
	}
	if f.flat {
		name += "-flat"
	}
	return name
}

// forms are all containers that convert writes.
func forms() (all []form) {
	for _, c := range targets() {
		for _, flat := range []bool{false, true} {
			all = append(all, form{c, 1, flat})
			if c.Format == "kdump" {
				all = append(all, form{c, 3, flat})
			}
		}
	}
	return all
}

// machines have what an image can have: both byte orders and word sizes, small pages and
// large ones.
var machines = []struct{ name, dump string }{
	{"x86_64", "arch x86_64 page 4096 order le ptr 8"},
	{"ppc64", `arch ppc64 page 65536 order be ptr 8 vmcoreinfo "PAGESIZE=65536\n"`},
	{"i386", `arch i686 page 4096 order le ptr 4packed vmcoreinfo "PAGESIZE=4096\n"`},
	{"mips", `arch mips page 4096 order be ptr 4 vmcoreinfo "PAGESIZE=4096\n"`},
}

const pagesOfEachState = `
maxpfn 100
page 0x00-0x01 zero
page 0x02      fill "first "
page 0x10-0x11 random 3
page 0x12-0x1f excluded
page 0x20      zero
page 0x21-0x23 fill "task_struct "
page 0x3f      random 7
page 0x40      excluded
page 0x41      random 9
page 0x5f      fill "init_task "
`

// TestConvertPairs writes a machine's memory in every container, and each of these as every
// other: all pages stay, the absent ones absent for the same reason.
func TestConvertPairs(t *testing.T) {
	all := machines
	if testing.Short() {
		all = all[3:]
	}
	for _, m := range all {
		t.Run(m.name, func(t *testing.T) {
			source := openText(t, "format kdump version 6 codec zlib notes 2 "+m.dump+pagesOfEachState)
			for _, a := range forms() {
				t.Run(a.String(), func(t *testing.T) {
					t.Parallel()
					from := open(t, convert(t, source, a.Conversion, a.parts, a.flat).names[0], nil)
					sameBytes(t, source, from)
					for _, b := range forms() {
						to := open(t, convert(t, from, b.Conversion, b.parts, b.flat).names[0], nil)
						if sameBytes(t, source, to); to.Header.Incomplete || len(to.Header.Problems) > 0 {
							t.Errorf("%v: incomplete %t, %v", b, to.Header.Incomplete, to.Header.Problems)
						}
					}
				})
			}
		})
	}
}

// TestConvertForeign: dumps that QEMU wrote go through containers of all kinds, one made of
// the other.
func TestConvertForeign(t *testing.T) {
	if testing.Short() {
		t.Skip("short: hundreds of megabytes")
	}
	for _, machine := range []string{"ppc64", "s390x"} {
		t.Run(machine, func(t *testing.T) {
			source := open(t, dumptest.Corpus(t, "qemu", machine+".kdump-zlib"), nil)
			beside := open(t, dumptest.Unpacked(t, dumptest.Corpus(t, "qemu", machine+".elf.xz")), nil)
			sameBytes(t, source, beside)
			from := source
			for i, f := range forms() {
				if i%6 != 0 && f.Format != "elf" {
					continue // TestConvertPairs does them all
				}
				from = open(t, convert(t, from, f.Conversion, f.parts, f.flat).names[0], nil)
				sameBytes(t, source, from)
			}
		})
	}
}

// sameBytes compares the memory of two dumps whose pages may differ in size: an ELF file without
// VMCOREINFO does not tell it.
func sameBytes(t testing.TB, a, b *vmcore.Dump) {
	t.Helper()
	size := min(a.PageSize(), b.PageSize())
	end := max(phys.PageSpan(a.MaxPFN(), 1, a.PageSize()).End, phys.PageSpan(b.MaxPFN(), 1, b.PageSize()).End)
	one, other := make([]byte, size), make([]byte, size)
	for at := phys.Addr(0); at < end; at += phys.Addr(size) {
		n, err := a.ReadPhys(one, at)
		m, got := b.ReadPhys(other, at)
		if string(one[:n]) != string(other[:m]) || phys.Reason(got) != phys.Reason(err) {
			t.Fatalf("%s: at %#x: %d bytes and %v became %d bytes and %v", filepath.Base(b.Name()), uint64(at), n, err, m, got)
		}
	}
}
