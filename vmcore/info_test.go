package vmcore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

const (
	kernelMap = 0xffffffff80000000 // x86_64: pa = va - kernelMap + phys_base
	stext     = kernelMap + 0x1000000
	rootTable = 0x1200 // pages of the tables
	otherRoot = 0x1300
)

// infoText is the VMCOREINFO of an x86_64 kernel whose page tables stand in the given page.
func infoText(release string, root uint64) string {
	return fmt.Sprintf("OSRELEASE=%s\nPAGESIZE=4096\nSYMBOL(_stext)=%x\nSYMBOL(swapper_pg_dir)=%x\nNUMBER(phys_base)=0\n",
		release, uint64(stext), kernelMap+root*4096)
}

// withTables is the memory of a machine whose page tables, from page root on, map the
// kernel where phys_base says.
func withTables(root uint64) *dumptest.Image {
	m := &dumptest.Image{PageSize: 4096, MaxPFN: 0x2000}
	tables := []struct{ index, entry uint64 }{
		{511, (root+1)*4096 | 0x63},
		{510, (root+2)*4096 | 0x63},
		{8, 0x1000000 | 0xe3}, // 2 MiB
	}
	for i, t := range tables {
		b := make([]byte, 4096)
		binary.LittleEndian.PutUint64(b[t.index*8:], t.entry)
		m.Set(phys.PFN(root+uint64(i)), b)
	}
	return m
}

// setAt puts text into a page, from byte off on.
func setAt(m *dumptest.Image, p phys.PFN, off int, text string) {
	b := make([]byte, m.PageSize)
	copy(b[off:], text)
	m.Set(p, b)
}

// dumpOf writes an image as makedumpfile does, without VMCOREINFO and notes.
func dumpOf(t *testing.T, m *dumptest.Image, change func(*dumptest.KDUMP)) *vmcore.Dump {
	t.Helper()
	o := dumptest.DefaultKDUMP()
	if change != nil {
		change(&o)
	}
	file, err := m.KDUMP(o)
	if err != nil {
		t.Fatal(err)
	}
	return openBytes(t, file, nil)
}

// TestInfoOrigin finds VMCOREINFO in each of its places, the better one first.
func TestInfoOrigin(t *testing.T) {
	note := func(text string) []byte {
		return dumptest.Note(binary.LittleEndian, "VMCOREINFO", 0, []byte(text))
	}
	kdump := dumptest.DefaultKDUMP()
	inNote := withTables(rootTable)
	setAt(inNote, 0x50, 0, string(note(infoText("memory", rootTable))))
	inPage := withTables(rootTable)
	setAt(inPage, 0x50, 0, infoText("memory", rootTable))
	tests := []struct {
		name    string
		m       *dumptest.Image
		o       dumptest.KDUMP
		given   string
		release string
		origin  string
	}{
		{"sub header of version 6", inPage, with(kdump, func(o *dumptest.KDUMP) { o.VMCoreInfo = infoText("header", rootTable) }), "", "header", "sub header"},
		{"sub header of version 3", inPage, with(kdump, func(o *dumptest.KDUMP) { o.Version, o.VMCoreInfo = 3, infoText("header", rootTable) }), "", "header", "sub header"},
		{"note", inPage, with(kdump, func(o *dumptest.KDUMP) { o.Notes = slices.Concat(note("nonsense"), note(infoText("note", rootTable))) }), "", "note", "note"},
		{"start of a page", inPage, kdump, "", "memory", "memory at 0x50000"},
		{"note in memory", inNote, kdump, "", "memory", "memory at 0x50018"},
		{"given", inPage, with(kdump, func(o *dumptest.KDUMP) { o.VMCoreInfo = infoText("header", rootTable) }), "OSRELEASE=given\n", "given", "file"},
	}
	for _, tt := range tests {
		file, err := tt.m.KDUMP(tt.o)
		if err != nil {
			t.Fatal(err)
		}
		d := openBytes(t, file, &vmcore.Options{VMCoreInfo: []byte(tt.given)})
		v, err := d.VMCoreInfo(t.Context())
		if err != nil || v.Release() != tt.release || v.Origin != tt.origin {
			t.Errorf("%s: %+v, %v, want %s from %s", tt.name, v, err, tt.release, tt.origin)
		}
	}
}

func with(o dumptest.KDUMP, change func(*dumptest.KDUMP)) dumptest.KDUMP {
	change(&o)
	return o
}

// TestInfoDecoy: of several copies in memory the one wins whose page tables translate the
// kernel's text to where its own rule puts it.
func TestInfoDecoy(t *testing.T) {
	m := withTables(rootTable)
	setAt(m, 0x10, 0, infoText("decoy", otherRoot))                           // tables that are not there
	setAt(m, 0x11, 24, infoText("decoy", 0x10))                               // tables that are text
	setAt(m, 0x12, 0, "OSRELEASE=short\n")                                    // no VMCOREINFO at all
	setAt(m, 0x13, 100, infoText("unaligned", rootTable))                     // somebody's buffer
	setAt(m, 0x14, 0, strings.Replace(infoText("x", 1), "SYMBOL", "XXXX", 2)) // without symbols
	setAt(m, 0x60, 24, infoText("kernel", rootTable))
	setAt(m, 0x61, 0, infoText("later", rootTable))
	d := dumpOf(t, m, nil)
	v, err := d.VMCoreInfo(t.Context())
	if err != nil || v.Release() != "kernel" || v.Origin != "memory at 0x60018" {
		t.Fatalf("%+v, %v", v, err)
	}
	again, err := d.VMCoreInfo(t.Context())
	if again != v || err != nil {
		t.Errorf("asked again: %+v, %v", again, err)
	}
}

// TestInfoUnproven: when no copy proves itself the first is better than none.
func TestInfoUnproven(t *testing.T) {
	m := &dumptest.Image{PageSize: 4096}
	setAt(m, 0x10, 0, infoText("first", otherRoot))
	setAt(m, 0x11, 0, infoText("second", otherRoot))
	if v, err := dumpOf(t, m, nil).VMCoreInfo(t.Context()); err != nil || v.Release() != "first" {
		t.Errorf("%+v, %v", v, err)
	}
	unknown := func(o *dumptest.KDUMP) { o.Utsname[4] = "Unknown" }
	if v, err := dumpOf(t, m, unknown).VMCoreInfo(t.Context()); err != nil || v.Release() != "first" {
		t.Errorf("unknown processor: %+v, %v", v, err)
	}
}

// TestInfoAcrossPages: the text of a copy goes on in the next page, and ends where that is
// absent.
func TestInfoAcrossPages(t *testing.T) {
	m := withTables(rootTable)
	long := infoText("long", rootTable) + strings.Repeat("NUMBER(x)=1\n", 600) + "NUMBER(last)=7\n"
	setAt(m, 0x10, 0, long)
	setAt(m, 0x11, 0, long[4096:])
	v, err := dumpOf(t, m, nil).VMCoreInfo(t.Context())
	if n, ok := v.Number("last"); err != nil || !ok || n != 7 {
		t.Errorf("%d, %t, %v", n, ok, err)
	}
	delete(m.Pages, 0x11)
	v, err = dumpOf(t, m, nil).VMCoreInfo(t.Context())
	if _, ok := v.Number("last"); err != nil || ok || len(v.Text()) != 4096 {
		t.Errorf("cut: %d bytes, %v", len(v.Text()), err)
	}
}

// TestInfoNone: no copy anywhere is an answer of its own, and that a scan was cut short is
// not kept as one.
func TestInfoNone(t *testing.T) {
	d := dumpOf(t, &dumptest.Image{PageSize: 4096, Pages: map[phys.PFN][]byte{1: dumptest.Fill(4096, "nothing ")}}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.VMCoreInfo(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	for range 2 {
		if v, err := d.VMCoreInfo(t.Context()); v != nil || !errors.Is(err, vmcore.ErrNoVMCoreInfo) {
			t.Errorf("%v, %v", v, err)
		}
	}
}

// TestInfoGivenWrongly: a text that is none is refused when the dump is opened.
func TestInfoGivenWrongly(t *testing.T) {
	file := fileOf(t, parse(t, threePages))
	_, err := vmcore.New(strings.NewReader(string(file)), int64(len(file)), &vmcore.Options{VMCoreInfo: []byte("just words\n")})
	if !errors.Is(err, phys.ErrCorrupt) || !strings.Contains(err.Error(), "VMCOREINFO that was given") {
		t.Errorf("error %v", err)
	}
}

// TestParseVMCoreInfo: the base of a value follows from its key, not from its looks.
func TestParseVMCoreInfo(t *testing.T) {
	const text = "OSRELEASE=6.1.0 with = and blanks\r\nno value\n=no key\nPAGESIZE=4096\nSYMBOL(_stext)=ffffffff81000000\nSYMBOL(short)=10\n" +
		"SIZE(page)=64\nOFFSET(list_head.prev)=8\nLENGTH(zone.free_area)=11\nNUMBER(phys_base)=-507510784\nNUMBER(VA_BITS)=0x30\n" +
		"NUMBER(big)=0xffffffff80000000\nKERNELOFFSET=b400000\nCRASHTIME=1\nCRASHTIME=1795271205\nBUILD-ID=9875c4d1ce003bc2542fef8bb2a3088693255c7a\x00\x00"
	v, err := vmcore.ParseVMCoreInfo([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	symbol := func(v uint64, ok bool) string { return fmt.Sprintf("%#x %t", v, ok) }
	number := func(v int64, ok bool) string { return fmt.Sprint(v, ok) }
	for _, tt := range []struct{ name, got, want string }{
		{"release", v.Release(), "6.1.0 with = and blanks"},
		{"page size", fmt.Sprint(v.PageSize()), "4096"},
		{"symbol", symbol(v.Symbol("_stext")), "0xffffffff81000000 true"},
		{"symbol of digits", symbol(v.Symbol("short")), "0x10 true"},
		{"no symbol", symbol(v.Symbol("_etext")), "0x0 false"},
		{"size", number(v.Size("page")), "64 true"},
		{"offset", number(v.Offset("list_head.prev")), "8 true"},
		{"length", number(v.Length("zone.free_area")), "11 true"},
		{"negative number", number(v.Number("phys_base")), "-507510784 true"},
		{"hexadecimal number", number(v.Number("VA_BITS")), "48 true"},
		{"number above 2^63", number(v.Number("big")), "-2147483648 true"},
		{"no number", number(v.Number("none")), "0 false"},
		{"bare hexadecimal", symbol(v.Hex("KERNELOFFSET")), "0xb400000 true"},
		{"build id", v.BuildID(), "9875c4d1ce003bc2542fef8bb2a3088693255c7a"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, tt.got, tt.want)
		}
	}
	if c, ok := v.CrashTime(); !ok || c.Unix() != 1795271205 {
		t.Errorf("crash time %v, %t: of two the last counts", c, ok)
	}
	if s, ok := v.Value("PAGESIZE"); s != "4096" || !ok {
		t.Errorf("PAGESIZE %q, %t", s, ok)
	}
	var keys []string
	for key := range v.All() {
		keys = append(keys, key)
	}
	if len(keys) != 13 || keys[0] != "OSRELEASE" || keys[11] != "CRASHTIME" {
		t.Errorf("keys %q", keys)
	}
}

// TestParseVMCoreInfoNonsense: implausible values are none.
func TestParseVMCoreInfoNonsense(t *testing.T) {
	for _, text := range []string{"", "\n\n", "KEY=1\n", "\x7fELF", "PAGESIZE=5000\n", "PAGESIZE=-4096\n"} {
		if v, err := vmcore.ParseVMCoreInfo([]byte(text)); v != nil || !errors.Is(err, phys.ErrCorrupt) {
			t.Errorf("%q: %v, %v", text, v, err)
		}
	}
	for _, id := range []string{"", "4f", strings.Repeat("g", 40), strings.Repeat("a", 41), strings.Repeat("A", 40)} {
		v, err := vmcore.ParseVMCoreInfo([]byte("OSRELEASE=x\nCRASHTIME=-1\nBUILD-ID=" + id + "\n"))
		if err != nil || v.BuildID() != "" || v.PageSize() != 0 {
			t.Errorf("build id %q of %q, %v", v.BuildID(), id, err)
		}
		if _, ok := v.CrashTime(); ok {
			t.Error("a crash before 1970")
		}
	}
}
