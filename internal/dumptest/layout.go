package dumptest

import "encoding/binary"

// Main is one of the three shapes of struct disk_dump_header.
type Main byte

// The shapes of the main header, by time_t and the alignment of 64-bit integers.
const (
	MainA Main = 'A' // 32-bit machine, 32-bit time_t
	MainB Main = 'B' // 64-bit machine, or 32-bit with 64-bit time_t aligned to 8
	MainC Main = 'C' // i386 with 64-bit time_t, aligned to 4
)

// Sub is one of the three shapes of struct kdump_sub_header.
type Sub string

// The shapes of the sub header.
const (
	Sub64     Sub = "64"
	SubPacked Sub = "packed" // i386; QEMU for every 32-bit machine
	SubPadded Sub = "padded" // ARM, MIPS, PPC32
)

// Ptr is the size of the machine's pointers.
func (s Sub) Ptr() int {
	if s == Sub64 {
		return 8
	}
	return 4
}

// Field is an integer member of a header: where it stands in its structure.
type Field struct {
	Name string
	Off  int
	Size int
}

// mainRow holds a member's offset in the shapes A, B and C.
type mainRow struct {
	name    string
	a, b, c int
}

// Offsets of the main header's members; the text of utsname is the same in all shapes.
func mainRows() []mainRow {
	return []mainRow{
		{"header_version", 8, 8, 8},
		{"tv_sec", 404, 408, 404},
		{"tv_usec", 408, 416, 412},
		{"status", 412, 424, 420},
		{"block_size", 416, 428, 424},
		{"sub_hdr_size", 420, 432, 428},
		{"bitmap_blocks", 424, 436, 432},
		{"max_mapnr", 428, 440, 436},
		{"total_ram_blocks", 432, 444, 440},
		{"device_blocks", 436, 448, 444},
		{"written_blocks", 440, 452, 448},
		{"current_cpu", 444, 456, 452},
		{"nr_cpus", 448, 460, 456},
	}
}

// Fields are the integers of the main header.
func (m Main) Fields() []Field {
	var out []Field
	for _, r := range mainRows() {
		f := Field{r.name, map[Main]int{MainA: r.a, MainB: r.b, MainC: r.c}[m], 4}
		if m != MainA && (r.name == "tv_sec" || r.name == "tv_usec") {
			f.Size = 8
		}
		out = append(out, f)
	}
	return out
}

// Size is sizeof(struct disk_dump_header) without tasks.
func (m Main) Size() int { return map[Main]int{MainA: 452, MainB: 464, MainC: 460}[m] }

// utsname is where the six texts of 65 bytes stand.
const (
	utsnameOff = 12
	utsnameLen = 65
)

// subRow holds a member's first header_version and its offsets; long members are as wide
// as the machine's pointers, the others have the width given.
type subRow struct {
	name                  string
	since                 int
	off64, packed, padded int
	width                 int // 0 is the width of long
}

// Offsets of the sub header's members.
func subRows() []subRow {
	return []subRow{
		{"phys_base", 0, 0, 0, 0, 0},
		{"dump_level", 1, 8, 4, 4, 4},
		{"split", 2, 12, 8, 8, 4},
		{"start_pfn", 2, 16, 12, 12, 0},
		{"end_pfn", 2, 24, 16, 16, 0},
		{"offset_vmcoreinfo", 3, 32, 20, 24, 8},
		{"size_vmcoreinfo", 3, 40, 28, 32, 0},
		{"offset_note", 4, 48, 32, 40, 8},
		{"size_note", 4, 56, 40, 48, 0},
		{"offset_eraseinfo", 5, 64, 44, 56, 8},
		{"size_eraseinfo", 5, 72, 52, 64, 0},
		{"start_pfn_64", 6, 80, 56, 72, 8},
		{"end_pfn_64", 6, 88, 64, 80, 8},
		{"max_mapnr_64", 6, 96, 72, 88, 8},
	}
}

// Fields are the members of the sub header that a version has.
func (s Sub) Fields(version int) []Field {
	var out []Field
	for _, r := range subRows() {
		if r.since > version {
			continue
		}
		f := Field{r.name, map[Sub]int{Sub64: r.off64, SubPacked: r.packed, SubPadded: r.padded}[s], r.width}
		if f.Size == 0 {
			f.Size = s.Ptr()
		}
		out = append(out, f)
	}
	return out
}

// Size is sizeof(struct kdump_sub_header) of a version.
func (s Sub) Size(version int) int {
	return map[Sub][7]int{
		Sub64:     {8, 16, 32, 48, 64, 80, 104},
		SubPacked: {4, 8, 20, 32, 44, 56, 80},
		SubPadded: {4, 8, 20, 40, 56, 72, 96},
	}[s][version]
}

// Put writes v into the named field of the structure that b begins with; fields that
// the table does not have are passed over, as a version does that lacks them.
func Put(b []byte, order binary.ByteOrder, fields []Field, name string, v uint64) {
	for _, f := range fields {
		if f.Name == name {
			putUint(b[f.Off:][:f.Size], order, v)
		}
	}
}

func putUint(b []byte, order binary.ByteOrder, v uint64) {
	switch len(b) {
	case 4:
		order.PutUint32(b, uint32(v))
	case 8:
		order.PutUint64(b, v)
	}
}
