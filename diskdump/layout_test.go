package diskdump_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
)

// shape is one of the layouts in the wild, with a machine that has it.
type shape struct {
	main    dumptest.Main
	sub     dumptest.Sub
	machine string
}

func shapes() []shape {
	return []shape{
		{dumptest.MainB, dumptest.Sub64, "x86_64"},
		{dumptest.MainA, dumptest.SubPacked, "i686"},
		{dumptest.MainA, dumptest.SubPadded, "armv7l"},
		{dumptest.MainB, dumptest.SubPadded, "armv7l"},
		{dumptest.MainB, dumptest.SubPacked, "i686"},
		{dumptest.MainC, dumptest.SubPacked, "i686"},
	}
}

func orders() []dumptest.Order { return []dumptest.Order{binary.LittleEndian, binary.BigEndian} }

// layoutImage has an excluded page and one with text, so that wrong bitmaps show.
func layoutImage(block int) *dumptest.Image {
	m := &dumptest.Image{PageSize: block}
	m.Set(1, make([]byte, block))
	m.Set(3, dumptest.Fill(block, "layout "))
	m.Exclude(4, 5)
	return m
}

const layoutInfo = "OSRELEASE=6.1.0\nPAGESIZE=4096\n"

// checkLayout writes a file and opens it: it has to be what was written.
func checkLayout(t *testing.T, block int, o dumptest.KDUMP) {
	t.Helper()
	file, err := layoutImage(block).KDUMP(o)
	if err != nil {
		t.Fatal(err)
	}
	f := openBytes(t, file)
	got := fmt.Sprint(f.Header.Version, f.Order, f.PtrSize, f.PageSize(), f.MaxPFN(), f.Header.NrCPUs, f.Header.Utsname.Machine,
		f.Header.TimeSec, f.Header.TimeUsec, f.Problems)
	want := fmt.Sprint(o.Version, o.Order, o.Sub.Ptr(), block, 5, o.CPUs, o.Utsname[4], o.Sec, o.Usec, []error(nil))
	if got != want {
		t.Errorf("opened as %s, want %s", got, want)
	}
	if !bytes.Equal(pageOf(t, f, 3), dumptest.Fill(block, "layout ")) || !bytes.Equal(pageOf(t, f, 1), make([]byte, block)) {
		t.Error("wrong bytes")
	}
	if _, err := f.ReadPage(4, make([]byte, block)); phys.Reason(err) != phys.ErrExcluded {
		t.Errorf("excluded page: %v", err)
	}
	checkAreas(t, f, o)
}

// checkAreas compares what the sub header points to.
func checkAreas(t *testing.T, f *diskdump.File, o dumptest.KDUMP) {
	t.Helper()
	if want := o.VMCoreInfo; o.Version >= 3 && string(f.Info) != want {
		t.Errorf("VMCOREINFO %q, want %q", f.Info, want)
	}
	if o.Version >= 4 && !bytes.HasPrefix(f.Notes, o.Notes) {
		t.Errorf("notes of %d bytes, want %d", len(f.Notes), len(o.Notes))
	}
	if o.Version >= 5 && string(f.EraseInfo) != o.EraseInfo {
		t.Errorf("eraseinfo %q, want %q", f.EraseInfo, o.EraseInfo)
	}
	if want := o.PhysBase; f.SubHeader.PhysBase != want {
		t.Errorf("phys_base %#x, want %#x", f.SubHeader.PhysBase, want)
	}
	if o.Version >= 1 && f.SubHeader.DumpLevel != int32(o.DumpLevel) {
		t.Errorf("dump_level %d, want %d", f.SubHeader.DumpLevel, o.DumpLevel)
	}
}

// TestLayouts: every layout, order and block size opens as itself, with any tv_usec: there
// is no marker for them, and a power of two in tv_usec looks like the block size of
// another layout.
func TestLayouts(t *testing.T) {
	n := 0
	for _, s := range shapes() {
		for _, order := range orders() {
			for _, block := range []int{4096, 16384, 65536} {
				t.Run(fmt.Sprintf("%c-%s %v %d", s.main, s.sub, order, block), func(t *testing.T) {
					n += checkUsecs(t, block, options(s, order))
				})
			}
		}
	}
	if n != 540 {
		t.Errorf("%d headers, want 540", n)
	}
}

// checkUsecs opens a layout with each tv_usec, without and with what stands behind its sub
// header, and counts the files.
func checkUsecs(t *testing.T, block int, o dumptest.KDUMP) (n int) {
	t.Helper()
	notes := dumptest.PRStatus(o.Order, 1, [27]uint64{})
	for _, usec := range []uint64{0, 999999, 4096, 16384, 65536} {
		o.Usec = usec
		for _, areas := range []struct {
			info  string
			notes []byte
		}{{"", nil}, {layoutInfo, nil}, {layoutInfo, notes}} {
			o.VMCoreInfo, o.Notes = areas.info, areas.notes
			checkLayout(t, block, o)
			n++
		}
	}
	return n
}

func options(s shape, order dumptest.Order) dumptest.KDUMP {
	o := dumptest.DefaultKDUMP()
	o.Main, o.Sub, o.Order = s.main, s.sub, order
	o.Utsname[4] = s.machine
	o.Sec = 0x6b0199ad
	return o
}

// TestUnknownMachine: QEMU does not say the machine; the fields alone have to tell.
func TestUnknownMachine(t *testing.T) {
	for _, s := range shapes() {
		for _, order := range orders() {
			for _, info := range []string{"", layoutInfo} {
				o := options(s, order)
				o.Utsname = [6]string{4: "Unknown"}
				o.VMCoreInfo = info
				o.Notes = dumptest.PRStatus(order, 1, [27]uint64{})
				t.Run(fmt.Sprintf("%c-%s %v %q", s.main, s.sub, order, info), func(t *testing.T) { checkLayout(t, 4096, o) })
			}
		}
	}
}

// TestVersions: each header_version has its own members, and the bytes of the notes that
// stand behind an older structure are not read as members of a newer one.
func TestVersions(t *testing.T) {
	for _, s := range shapes() {
		for _, order := range orders() {
			for version := range 7 {
				o := options(s, order)
				o.Version, o.VMCoreInfo, o.EraseInfo = version, layoutInfo, "erase x\n"
				o.Notes = bytes.Repeat(dumptest.Note(order, "CORE", 1, bytes.Repeat([]byte{0xff}, 64)), 3)
				if version < 5 {
					o.EraseInfo = ""
				}
				t.Run(fmt.Sprintf("%c-%s %v v%d", s.main, s.sub, order, version), func(t *testing.T) { checkLayout(t, 4096, o) })
			}
		}
	}
}

// TestPhysBase: it is two's complement in both widths.
func TestPhysBase(t *testing.T) {
	relocated := ^uint64(0x20600000) + 1
	for _, s := range shapes() {
		o := options(s, binary.LittleEndian)
		o.Utsname[4] = "Unknown" // so that it is no base of ARM's page numbers
		o.PhysBase = relocated
		checkLayout(t, 4096, o)
	}
}

// TestDISKDUMP: the ancestor has version 0's rules, and its status bits mean other things.
func TestDISKDUMP(t *testing.T) {
	r := parse(t, small+"\nformat diskdump codec zlib")
	s := build(t, r)
	f := s.(*diskdump.File)
	if f.Codec() != "" || len(f.Problems) != 0 || f.Notes != nil {
		t.Errorf("codec %q, problems %v, %d bytes of notes", f.Codec(), f.Problems, len(f.Notes))
	}
	expect, err := dumptest.ParseExpect("page 2 zero\npage 3 fill \"three \"\npage 5-6 excluded\npage 0x40 fill \"sixty-four \"\npage 0x44 zero")
	if err != nil {
		t.Fatal(err)
	}
	expect.Check(t, s)
}
