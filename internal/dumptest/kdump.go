package dumptest

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/kautopsy/kautopsy/phys"
)

// KDUMP says how a kdump-compressed file is written. DefaultKDUMP is what makedumpfile
// writes on x86-64.
type KDUMP struct {
	Signature string // "KDUMP   " or "DISKDUMP"
	Version   int    // header_version, 0 to 6
	Order     Order
	Main      Main
	Sub       Sub
	Codec     Codec

	Utsname    [6]string // sysname, nodename, release, version, machine, domainname
	Sec, Usec  uint64    // when the machine crashed
	CPUs       int
	DumpLevel  int
	PhysBase   uint64
	Notes      []byte
	VMCoreInfo string // behind the notes, as a note; bare in version 3
	EraseInfo  string
	Incomplete bool // the writer's mark

	Single       bool // one bitmap, which serves as both
	Relative     bool // bit 0 of the bitmaps is the page of PhysBase (32-bit ARM)
	BitmapBlocks int  // 0 is as many as are needed
	KeepZero     bool // zero pages are stored like others
	Split        bool // a part that holds the data of pages [Start, End)
	Start, End   phys.PFN
}

// DefaultKDUMP is a file of version 6, 64-bit, little-endian, zlib.
func DefaultKDUMP() KDUMP {
	return KDUMP{
		Signature: "KDUMP   ", Version: 6, Order: binary.LittleEndian, Main: MainB, Sub: Sub64, Codec: Zlib,
		Utsname: [6]string{"Linux", "dumptest", "6.1.0", "#1 SMP", "x86_64", "(none)"},
		CPUs:    1, DumpLevel: 31,
	}
}

// KDUMP writes the image as a kdump-compressed file.
func (m *Image) KDUMP(o KDUMP) ([]byte, error) {
	var file memory
	size, err := m.WriteKDUMP(&file, o)
	return file.upTo(size), err
}

// Parts writes the image as a split set; bounds are the pages at which it is cut.
func (m *Image) Parts(o KDUMP, bounds ...phys.PFN) ([][]byte, error) {
	var parts [][]byte
	o.Split = true
	for i := range len(bounds) + 1 {
		o.Start, o.End = 0, m.Max()
		if i > 0 {
			o.Start = bounds[i-1]
		}
		if i < len(bounds) {
			o.End = bounds[i]
		}
		part, err := m.KDUMP(o)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// WriteKDUMP writes the image to w, which is empty, and tells the size of the file. What
// is zero in the bitmaps is not written, so w can be a sparse file.
func (m *Image) WriteKDUMP(w io.WriterAt, o KDUMP) (size int64, err error) {
	k := kdumpWriter{KDUMP: o, m: m, out: &output{w: w}}
	if o.Single && len(m.Excluded) > 0 {
		return 0, errors.New("a single bitmap cannot tell excluded pages from holes")
	}
	k.plan()
	k.mainHeader()
	k.bitmaps()
	if err := k.pages(); err != nil {
		return 0, err
	}
	end := k.at
	k.out.write([]byte(o.EraseInfo), end)
	k.subHeader(end)
	return end + int64(len(o.EraseInfo)), k.out.err
}

// kdumpWriter is a file that is being written.
type kdumpWriter struct {
	KDUMP
	m   *Image
	out *output
	enc encoder

	block     int64 // bytes
	notes     []byte
	info      int64      // file offset of VMCOREINFO's text, 0 for none
	max       uint64     // one past the last bit
	base      phys.PFN   // page of bit 0
	dumped    []phys.PFN // pages with a descriptor
	subBlocks int64
	half      int64 // bytes from one bitmap to the other
	data      int64 // where descriptors begin
	at        int64 // where the next page's data goes
}

// plan decides where everything goes.
func (k *kdumpWriter) plan() {
	k.block = int64(k.m.PageSize)
	if k.Relative {
		k.base = phys.PFN(k.PhysBase / uint64(k.block))
	}
	k.max = uint64(k.m.Max() - k.base)
	k.dumped = k.m.described()
	k.areas()
	need := (int64((k.max+7)/8) + k.block - 1) / k.block
	k.half = need * k.block
	if k.BitmapBlocks == 0 {
		k.BitmapBlocks = int(2 * need)
		if k.Single {
			k.BitmapBlocks = int(need)
		}
	} else if !k.Single {
		k.half = int64(k.BitmapBlocks) * k.block / 2
	}
	if k.Single {
		k.half = 0
	}
	k.data = (1 + k.subBlocks + int64(k.BitmapBlocks)) * k.block
	k.at = k.data + 24*int64(len(k.dumped))
}

// areas places the notes and VMCOREINFO behind the sub header.
func (k *kdumpWriter) areas() {
	head := k.Sub.Size(k.Version)
	off := k.block + int64(head)
	switch {
	case k.Version >= 4:
		k.notes = k.Notes
		if k.VMCoreInfo != "" {
			k.notes = append(k.notes[:len(k.notes):len(k.notes)], Note(k.Order, "VMCOREINFO", 0, []byte(k.VMCoreInfo))...)
		}
		k.findInfo(off)
	case k.Version == 3 && k.VMCoreInfo != "":
		k.notes, k.info = []byte(k.VMCoreInfo), off
	}
	k.subBlocks = (int64(head+len(k.notes)) + k.block - 1) / k.block
}

// mainHeader writes block 0.
func (k *kdumpWriter) mainHeader() {
	b := make([]byte, k.Main.Size())
	copy(b, k.Signature)
	for i, s := range k.Utsname {
		copy(b[utsnameOff+i*utsnameLen:][:utsnameLen-1], s)
	}
	for name, v := range map[string]uint64{
		"header_version": uint64(k.Version), "tv_sec": k.Sec, "tv_usec": k.Usec, "status": k.status(),
		"block_size": uint64(k.block), "sub_hdr_size": uint64(k.subBlocks), "bitmap_blocks": uint64(k.BitmapBlocks),
		"max_mapnr": min(k.max, 1<<32-1), "nr_cpus": uint64(k.CPUs),
	} {
		Put(b, k.Order, k.Main.Fields(), name, v)
	}
	k.out.write(b, 0)
}

func (k *kdumpWriter) status() uint64 {
	s := uint64(k.Codec.Flag())
	if k.Signature == "DISKDUMP" && s != 0 {
		s = 0x8 // compressed
	} else if k.Incomplete {
		s |= 0x8
	}
	return s
}

// subHeader writes block 1, with the notes behind it; eraseinfo stands at end.
func (k *kdumpWriter) subHeader(end int64) {
	size := k.Sub.Size(k.Version)
	b := make([]byte, size)
	for name, v := range k.subFields(end) {
		Put(b, k.Order, k.Sub.Fields(k.Version), name, v)
	}
	k.out.write(append(b, k.notes...), k.block)
}

func (k *kdumpWriter) subFields(end int64) map[string]uint64 {
	f := map[string]uint64{"phys_base": k.PhysBase, "dump_level": uint64(k.DumpLevel), "max_mapnr_64": k.max}
	if k.Split {
		start, stop := uint64(max(k.Start, k.base)-k.base), uint64(k.End-k.base)
		f["split"] = 1
		f["start_pfn"], f["end_pfn"], f["start_pfn_64"], f["end_pfn_64"] = start, stop, start, stop
	}
	if k.info != 0 {
		f["offset_vmcoreinfo"], f["size_vmcoreinfo"] = uint64(k.info), uint64(k.infoSize())
	}
	if k.Version >= 4 && len(k.notes) > 0 {
		f["offset_note"], f["size_note"] = uint64(k.block)+uint64(k.Sub.Size(k.Version)), uint64(len(k.notes))
	}
	if k.EraseInfo != "" {
		f["offset_eraseinfo"], f["size_eraseinfo"] = uint64(end), uint64(len(k.EraseInfo))
	}
	return f
}
