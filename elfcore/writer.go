package elfcore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// Plan says what a file is to hold besides its pages.
type Plan struct {
	Machine    uint16 // e_machine
	Class      int    // 32 or 64
	Order      binary.ByteOrder
	PageSize   int
	Notes      []byte    // ELF notes, VMCOREINFO among them
	Segments   []Segment // virtual addresses, where they are known
	Incomplete bool      // pages are missing that should be there
}

// Writer writes an ELF vmcore: the headers at once, then pages as they come, in the order
// of their numbers. Each run of pages in the dump is a PT_LOAD, whose p_memsz reaches over
// the pages behind it that were left out. Pages of zeros are holes of the file.
//
//	ehdr, phdr[n], (shdr[0] when n does not fit into e_phnum), notes, pages
type Writer struct {
	w      io.WriterAt
	plan   Plan
	head   Header
	loads  []phdr
	images []alias
	data   bin.Appender
	start  int64 // where the pages begin
	want   uint64
	have   uint64
	zeros  int64  // pages of zeros that came behind what was written
	zero   []byte // one of them
}

// NewWriter writes the headers of a file into w, which is empty: what is never written is
// zero there. runs are the pages by state, as Memory.Runs yields them; only those without a
// reason are to come as pages.
func NewWriter(w io.WriterAt, plan Plan, runs iter.Seq2[phys.Run, error]) (*Writer, error) {
	k := &Writer{w: w, plan: plan, zero: make([]byte, plan.PageSize)}
	k.head = Header{Order: plan.Order, Class: plan.Class, Machine: plan.Machine}
	for run, err := range runs {
		if err != nil {
			return nil, err
		}
		if err := k.addRun(run); err != nil {
			return nil, err
		}
	}
	k.addVirtual()
	return k, k.writeHeaders()
}

// addRun plans the PT_LOAD of a run.
func (k *Writer) addRun(run phys.Run) error {
	if phys.Reason(run.Why) == phys.ErrHole {
		return nil
	}
	size := uint64(k.plan.PageSize)
	start, bytes := uint64(run.Start)*size, run.Len()*size
	if uint64(run.End) > math.MaxUint64/size || k.plan.Class == 32 && start+bytes > 1<<32 {
		return fmt.Errorf("memory at page %#x does not fit into ELF%d: %w", uint64(run.Start), k.plan.Class, phys.ErrUnsupported)
	}
	if i := len(k.loads) - 1; run.Why != nil && i >= 0 && k.loads[i].paddr+k.loads[i].memsz == start {
		k.loads[i].memsz += bytes
		return nil
	}
	if len(k.loads) == maxPhdrs-1 {
		return fmt.Errorf("more than %d runs of pages: %w", maxPhdrs, phys.ErrLimit)
	}
	p := phdr{typ: ptLoad, paddr: start, memsz: bytes}
	if run.Why == nil {
		p.filesz = bytes
		k.want += run.Len()
	}
	k.loads = append(k.loads, p)
	return nil
}

// maxSegments is how many virtual addresses are taken over: QEMU's paging=true gives
// millions, of processes.
const maxSegments = 4096

// direct finds how far the direct map's virtual addresses are from the physical ones: that
// is what most memory has in common.
func (k *Writer) direct() (delta uint64, ok bool) {
	if len(k.plan.Segments) > maxSegments {
		k.plan.Segments = nil
	}
	bytes := map[uint64]uint64{}
	for _, s := range k.plan.Segments {
		d := s.Virt - uint64(s.Span.Start)
		if bytes[d] += s.Span.Len(); bytes[d] > bytes[delta] {
			delta = d
		}
	}
	return delta, bytes[delta] > 0
}

// addVirtual gives the PT_LOADs their addresses in the direct map. Memory that has another
// address too, the kernel's image, gets a PT_LOAD more for the same bytes, as in
// /proc/vmcore: makedumpfile finds the kernel by it.
func (k *Writer) addVirtual() {
	delta, ok := k.direct()
	if !ok {
		return
	}
	for _, s := range k.plan.Segments {
		if s.Virt-uint64(s.Span.Start) == delta {
			continue
		}
		for i := range k.loads {
			if a := k.loads[i].part(s); a.memsz > 0 && len(k.images) < maxSegments {
				a.load = i
				k.images = append(k.images, a)
			}
		}
	}
	for i := range k.loads {
		k.loads[i].vaddr = k.loads[i].paddr + delta
	}
}

// alias is a part of a PT_LOAD at another virtual address; its offset is from that of load.
type alias struct {
	phdr
	load int
}

// part is the part of a PT_LOAD that a segment gives another address.
func (p *phdr) part(s Segment) (a alias) {
	start, end := max(p.paddr, uint64(s.Span.Start)), min(p.paddr+p.memsz, uint64(s.Span.End))
	if start >= end {
		return a
	}
	a.typ, a.offset, a.paddr = ptLoad, start-p.paddr, start
	a.memsz = end - start
	a.filesz = min(p.filesz-min(p.filesz, a.offset), a.memsz)
	a.vaddr = s.Virt + (start - uint64(s.Span.Start))
	return a
}

// The sizes of the headers.
func (k *Writer) ehdrSize() int { return ehdr.Size(k.head.abi(), 0) }
func (k *Writer) shdrSize() int { return shdr.Size(k.head.abi(), 0) }

// flagsRWX are p_flags of memory.
const flagsRWX = 7

// writeHeaders writes all that stands before the pages.
func (k *Writer) writeHeaders() error {
	count := len(k.loads) + len(k.images) + 1
	table := int64(k.ehdrSize())
	after := table + int64(count)*int64(k.head.phdrSize())
	nums := map[string]uint64{
		"e_type": typeCore, "e_machine": uint64(k.plan.Machine), "e_version": 1,
		"e_phoff": uint64(table), "e_ehsize": uint64(table),
		"e_phentsize": uint64(k.head.phdrSize()), "e_phnum": uint64(count),
	}
	var section []byte
	if count >= pnXNum {
		nums["e_phnum"], nums["e_shoff"] = pnXNum, uint64(after)
		nums["e_shentsize"], nums["e_shnum"] = uint64(k.shdrSize()), 1
		section = shdr.Encode(k.head.abi(), 0, map[string]uint64{"sh_info": uint64(count), "sh_size": 1}, nil)
		after += int64(len(section))
	}
	if k.plan.Incomplete && k.plan.Machine != machinePPC64 {
		nums["e_flags"] = 1
	}
	k.start = firstPage(after + int64(len(k.plan.Notes)))
	out := bin.Appender{W: k.w}
	out.Write(ehdr.Encode(k.head.abi(), 0, nums, map[string]string{"e_ident": k.ident()}))
	notes := phdr{typ: ptNote, offset: uint64(after), filesz: uint64(len(k.plan.Notes)), memsz: uint64(len(k.plan.Notes))}
	out.Write(k.head.appendPhdr(nil, notes, 0))
	k.place()
	var b []byte
	for _, p := range k.images {
		b = k.head.appendPhdr(b, p.phdr, flagsRWX)
	}
	for _, p := range k.loads {
		b = k.head.appendPhdr(b, p, flagsRWX)
	}
	out.Write(b)
	out.Write(section)
	out.Write(k.plan.Notes)
	k.data = bin.Appender{W: k.w, At: k.start}
	return out.Flush()
}

// firstPage is where the pages begin that follow what ends at a place: not on a boundary of
// pages. makedumpfile to 1.7.8 maps files whose PT_LOADs begin there, as /proc/vmcore, as far as
// p_memsz reaches, and loses its way in them (SIGBUS); others, as it writes them, it reads.
func firstPage(end int64) int64 {
	const line, page = 64, 4096
	if end = (end + line - 1) / line * line; end%page == 0 {
		end += line
	}
	return end
}

// place gives the PT_LOADs their places in the file. One without bytes has none: several
// at one place lead makedumpfile astray.
func (k *Writer) place() {
	at := uint64(k.start)
	for i := range k.loads {
		if n := k.loads[i].filesz; n > 0 {
			k.loads[i].offset = at
			at += n
		}
	}
	for i := range k.images {
		if a := &k.images[i]; a.filesz > 0 {
			a.offset += k.loads[a.load].offset
		} else {
			a.offset = 0
		}
	}
}

// ident is e_ident.
func (k *Writer) ident() string {
	id := []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	if k.plan.Class == 32 {
		id[4] = 1
	}
	if k.plan.Order == binary.BigEndian {
		id[5] = 2
	}
	return string(id)
}

// Write appends a batch of pages; those that cannot be read are passed over.
func (k *Writer) Write(b *phys.Batch) error {
	for i := range b.PFN {
		if b.Err[i] != nil {
			continue
		}
		k.have++
		if bin.Zero(b.Data[i]) {
			k.zeros++
			continue
		}
		k.putZeros()
		k.data.Write(b.Data[i])
	}
	return k.data.Err()
}

// leastHole is how many pages of zeros are worth a hole of the file: before it, what is
// gathered has to be written.
const leastHole = 16

// putZeros writes the pages of zeros that came.
func (k *Writer) putZeros() {
	if k.zeros >= leastHole {
		k.data.Skip(k.zeros * int64(k.plan.PageSize))
		k.zeros = 0
	}
	for ; k.zeros > 0; k.zeros-- {
		k.data.Write(k.zero)
	}
}

// Close writes what is still in memory. It does not close the file. Pages that the runs
// promised and that did not come are an error that is ErrUnread: the format has no way to
// tell of them, but to plan without them.
func (k *Writer) Close() error {
	if k.have != k.want {
		return fmt.Errorf("%d pages of %d: %w", k.want-k.have, k.want, ErrUnread)
	}
	if k.zeros > 0 { // the last byte marks the end of a hole
		k.data.Skip(k.zeros*int64(k.plan.PageSize) - 1)
		k.data.Write(k.zero[:1])
	}
	return k.data.Flush()
}

// ErrUnread: pages of the plan did not come.
var ErrUnread = errors.New("not every page of the plan could be read")
