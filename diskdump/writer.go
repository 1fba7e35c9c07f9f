package diskdump

import (
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"math"
	"math/bits"
	"strings"
	"time"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/internal/codec"
	"github.com/kautopsy/kautopsy/phys"
)

// Plan says what a file is to hold besides its pages.
type Plan struct {
	BlockSize int
	MaxPFN    phys.PFN // one past the highest page
	Order     binary.ByteOrder
	PtrSize   int    // 4 or 8
	Codec     string // of the pages: "none", "zlib", "lzo", "snappy", "zstd"

	Utsname   Utsname // Machine decides the layout of 32-bit files
	Time      time.Time
	CPUs      int
	DumpLevel int    // makedumpfile -d
	PhysBase  uint64 // two's complement

	Notes      []byte // ELF notes, VMCOREINFO among them
	EraseInfo  []byte
	Incomplete bool // pages are missing that should be there

	// Of a split set: the part holds the data of pages [First, End).
	Split      bool
	First, End phys.PFN
}

// Writer writes a kdump-compressed file of version 6: headers and bitmaps at once, then
// descriptors and data as pages come, in the order of their numbers. Zero pages share one
// block. It is for one goroutine; encoding is the Coder's, of which there can be many.
type Writer struct {
	w     io.WriterAt
	plan  Plan
	abi   bin.ABI
	base  phys.PFN // page of bit 0
	zero  int64    // file offset of the zero pages' block
	descs bin.Appender
	data  bin.Appender
	want  uint64 // descriptors that the bitmap promises
	have  uint64
	lost  uint64
}

// NewWriter writes the headers and bitmaps of a file into w, which is empty: what is never
// written is zero there. runs are the pages by state, as File.Runs yields them: those
// without a reason, and those that are lost, get descriptors.
func NewWriter(w io.WriterAt, plan Plan, runs iter.Seq2[phys.Run, error]) (*Writer, error) {
	k := &Writer{w: w, plan: plan, abi: plan.abi()}
	if k.plan.Utsname.Machine == "" {
		k.plan.Utsname.Machine = "Unknown"
	}
	if !plan.Split {
		k.plan.First, k.plan.End = 0, plan.MaxPFN
	}
	if err := k.checkPlan(); err != nil {
		return nil, err
	}
	b := int64(plan.BlockSize)
	if err := k.writeBitmaps(k.bitmapsAt(), runs); err != nil {
		return nil, err
	}
	at := k.bitmapsAt() + 2*k.half()
	k.descs = bin.Appender{W: w, At: at}
	k.zero = at + int64(k.want)*descSize
	k.data = bin.Appender{W: w, At: k.zero}
	if k.want > 0 {
		k.data.Write(make([]byte, b))
	}
	return k, k.writeHeaders()
}

// parseCodec finds a codec by its name.
func parseCodec(name string) (codec.Method, error) {
	if m, ok := codec.ByName(name); ok {
		return m, nil
	}
	return 0, fmt.Errorf("no codec %q: %w", name, phys.ErrUnsupported)
}

// abi is how the C compiler of the dump's machine lays out its structures. Without
// VMCOREINFO libkdumpfile takes every 32-bit file for one of QEMU's, which are packed.
func (p *Plan) abi() bin.ABI {
	a := abi64
	if p.PtrSize == 4 {
		a = abiPadded
		m := p.Utsname.Machine
		if !p.hasInfo() || len(m) == 4 && strings.HasPrefix(m, "i") && strings.HasSuffix(m, "86") {
			a = abiPacked
		}
	}
	a.Order = p.Order
	return a
}

// hasInfo tells whether VMCOREINFO is among the notes.
func (p *Plan) hasInfo() bool {
	_, n := vmcoreinfoIn(p.Notes, p.Order)
	return n > 0
}

// checkPlan refuses what no reader would understand.
func (k *Writer) checkPlan() error {
	p := &k.plan
	if p.BlockSize < minBlockSize || p.BlockSize > maxBlockSize || bits.OnesCount(uint(p.BlockSize)) != 1 {
		return fmt.Errorf("no dump has blocks of %d bytes: %w", p.BlockSize, phys.ErrUnsupported)
	}
	if n := k.areaBytes(); n > maxArea {
		return fmt.Errorf("%d bytes of notes: %w", n, phys.ErrLimit)
	}
	if uint64(p.MaxPFN) > math.MaxInt64/uint64(p.BlockSize) {
		return fmt.Errorf("page %#x: %w", uint64(p.MaxPFN), phys.ErrLimit)
	}
	// makedumpfile counts from the first page of RAM there; QEMU, whose files have no
	// VMCOREINFO, does not.
	if p.PtrSize == 4 && strings.HasPrefix(p.Utsname.Machine, "arm") && p.hasInfo() {
		k.base = phys.PFN(p.PhysBase / uint64(p.BlockSize))
	}
	return nil
}

// areaBytes is what stands behind the sub header: notes and eraseinfo. The latter stands
// behind the data in makedumpfile's files; here, so that a file is complete at its start
// and nothing has to be written twice.
func (k *Writer) areaBytes() int { return len(k.plan.Notes) + len(k.plan.EraseInfo) }

// subBlocks is sub_hdr_size.
func (k *Writer) subBlocks() int64 {
	n := subHeader().Size(k.abi, lastVersion) + k.areaBytes()
	return (int64(n) + int64(k.plan.BlockSize) - 1) / int64(k.plan.BlockSize)
}

func (k *Writer) bitmapsAt() int64 { return (1 + k.subBlocks()) * int64(k.plan.BlockSize) }

// bits is the number of bits of a bitmap.
func (k *Writer) bits() uint64 { return uint64(k.plan.MaxPFN - min(k.base, k.plan.MaxPFN)) }

// half is the length of a bitmap in bytes, whole blocks.
func (k *Writer) half() int64 {
	b := uint64(k.plan.BlockSize)
	return int64(max(1, (k.bits()+8*b-1)/(8*b)) * b)
}

// writeHeaders writes both headers and what stands behind the second one.
func (k *Writer) writeHeaders() error {
	p := &k.plan
	method, err := parseCodec(p.Codec)
	if err != nil {
		return err
	}
	status := uint64(method)
	if p.Incomplete || k.lost > 0 {
		status |= StatusIncomplete
	}
	layout := mainHeader(bin.U64)
	if p.PtrSize == 4 {
		layout = mainHeader(bin.U32)
	}
	head := layout.Encode(bin.ABI{Order: p.Order, Long: 8, Align64: 8}, 0, map[string]uint64{
		"header_version": lastVersion, "tv_sec": uint64(max(0, p.Time.Unix())), "status": status,
		"block_size": uint64(p.BlockSize), "sub_hdr_size": uint64(k.subBlocks()),
		"bitmap_blocks": uint64(2 * k.half() / int64(p.BlockSize)),
		"max_mapnr":     min(k.bits(), math.MaxUint32), "nr_cpus": uint64(p.CPUs),
	}, map[string]string{
		"signature": SignatureKDUMP, "sysname": p.Utsname.Sysname, "nodename": p.Utsname.Nodename,
		"release": p.Utsname.Release, "version": p.Utsname.Version, "machine": p.Utsname.Machine,
		"domainname": p.Utsname.Domainname,
	})
	if _, err := k.w.WriteAt(head, 0); err != nil {
		return err
	}
	_, err = k.w.WriteAt(append(append(k.subHeader(), p.Notes...), p.EraseInfo...), int64(p.BlockSize))
	return err
}

// subHeader makes the bytes of kdump_sub_header.
func (k *Writer) subHeader() []byte {
	p := &k.plan
	nums := map[string]uint64{
		"phys_base": p.PhysBase, "dump_level": uint64(p.DumpLevel), "max_mapnr_64": k.bits(),
	}
	if p.Split {
		first, end := uint64(p.First-min(k.base, p.First)), uint64(p.End-min(k.base, p.End))
		nums["split"] = 1
		nums["start_pfn"], nums["end_pfn"], nums["start_pfn_64"], nums["end_pfn_64"] = first, end, first, end
	}
	at := uint64(p.BlockSize + subHeader().Size(k.abi, lastVersion))
	if len(p.Notes) > 0 {
		nums["offset_note"], nums["size_note"] = at, uint64(len(p.Notes))
		if off, n := vmcoreinfoIn(p.Notes, p.Order); n > 0 {
			nums["offset_vmcoreinfo"], nums["size_vmcoreinfo"] = at+uint64(off), uint64(n)
		}
	}
	if len(p.EraseInfo) > 0 {
		nums["offset_eraseinfo"], nums["size_eraseinfo"] = at+uint64(len(p.Notes)), uint64(len(p.EraseInfo))
	}
	return subHeader().Encode(k.abi, lastVersion, nums, nil)
}

// Close writes what is still in memory, and the mark of an incomplete dump if pages were
// lost on the way. It does not close the file.
func (k *Writer) Close() error {
	if err := k.data.Flush(); err != nil {
		return err
	}
	if err := k.descs.Flush(); err != nil {
		return err
	}
	if k.have != k.want {
		return fmt.Errorf("%d pages were written, the bitmaps promise %d", k.have, k.want)
	}
	if k.lost > 0 && !k.plan.Incomplete {
		return k.writeHeaders()
	}
	return nil
}

// Lost is how many pages got a descriptor that says so.
func (k *Writer) Lost() uint64 { return k.lost }
