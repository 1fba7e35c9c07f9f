package vmcore

import (
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/elfcore"
	"github.com/kautopsy/kautopsy/internal/arch"
	"github.com/kautopsy/kautopsy/internal/elfnote"
	"github.com/kautopsy/kautopsy/phys"
)

// kdumpPlan gathers what the headers of a kdump-compressed file say.
func (v *conversion) kdumpPlan(ctx context.Context) (diskdump.Plan, error) {
	h := &v.d.Header
	plan := diskdump.Plan{
		BlockSize: v.d.PageSize(), MaxPFN: v.d.MaxPFN(), Order: h.NoteOrder, PtrSize: h.PtrSize, Codec: v.Codec,
		Utsname: diskdump.Utsname(h.Utsname), Time: h.Time, CPUs: h.CPUs, DumpLevel: max(0, h.DumpLevel) | v.DumpLevel | 1,
		EraseInfo: h.EraseInfo, Incomplete: v.incomplete,
	}
	if plan.Utsname == (diskdump.Utsname{Machine: plan.Utsname.Machine}) {
		plan.Utsname = diskdump.Utsname(v.Utsname)
	}
	if a, err := v.d.Arch(); err == nil {
		plan.Order, plan.PtrSize = orderOf(a, h), a.Info().PtrSize
		if plan.Utsname.Machine == "" {
			plan.Utsname.Machine = a.Info().Name
		}
	}
	if plan.Order == nil {
		plan.Order = binary.LittleEndian
	}
	if plan.PtrSize == 0 {
		plan.PtrSize = 8
	}
	info, err := v.d.VMCoreInfo(ctx)
	if err != nil && !errors.Is(err, ErrNoVMCoreInfo) {
		return plan, err
	}
	if info != nil {
		if t, ok := info.CrashTime(); ok && plan.Time.IsZero() {
			plan.Time = t
		}
		if plan.Utsname.Release == "" {
			plan.Utsname.Release = info.Release()
		}
	}
	plan.PhysBase = physBase(h, info)
	plan.Notes = v.notes(info, plan.Order)
	if plan.CPUs == 0 {
		plan.CPUs = countCPUs(plan.Notes, plan.Order)
	}
	return plan, nil
}

// orderOf is the byte order of the dump's structures and notes.
func orderOf(a arch.Arch, h *Header) binary.ByteOrder {
	if h.NoteOrder != nil {
		return h.NoteOrder
	}
	return a.Info().Order
}

// physBase is phys_base of kdump_sub_header: the kernel's relocation on x86-64, the base of
// RAM on ARM and others, 0 elsewhere.
func physBase(h *Header, info *VMCoreInfo) uint64 {
	if h.PhysBase != nil {
		return uint64(*h.PhysBase)
	}
	if info != nil {
		for _, name := range []string{"phys_base", "PHYS_OFFSET"} {
			if base, ok := info.Number(name); ok {
				return uint64(base)
			}
		}
		if base, ok := info.Hex("NUMBER(PHYS_OFFSET)"); ok { // arm64 writes it so
			return base
		}
	}
	return 0
}

// notes are all notes of the dump as one area; VMCOREINFO is among them wherever it was.
func (v *conversion) notes(info *VMCoreInfo, order binary.ByteOrder) []byte {
	area := slices.Concat(v.d.Header.Notes...)
	if info == nil || hasNote(area, order, "VMCOREINFO") {
		return area
	}
	return elfnote.Append(area, order, Note{Name: "VMCOREINFO", Desc: info.Text()})
}

func hasNote(area []byte, order binary.ByteOrder, name string) bool {
	for n, err := range elfnote.All(area, order) {
		if err == nil && n.Name == name {
			return true
		}
	}
	return false
}

func countCPUs(notes []byte, order binary.ByteOrder) (n int) {
	for note, err := range elfnote.All(notes, order) {
		if err == nil && note.Name == "CORE" && note.Type == elfnote.TypePRStatus {
			n++
		}
	}
	return n
}

// elfPlan gathers what the headers of an ELF file say.
func (v *conversion) elfPlan(ctx context.Context) (elfcore.Plan, error) {
	k, err := v.kdumpPlan(ctx)
	if err != nil {
		return elfcore.Plan{}, err
	}
	a, err := v.d.Arch()
	if err != nil {
		return elfcore.Plan{}, err
	}
	plan := elfcore.Plan{
		Machine: uint16(a.Info().Machine), Class: 64, Order: k.Order, PageSize: k.BlockSize,
		Notes: k.Notes, Incomplete: v.incomplete,
	}
	if k.PtrSize == 4 && uint64(v.d.MaxPFN())*uint64(k.BlockSize) <= 1<<32 && a.Info().Machine != elf.EM_X86_64 {
		plan.Class = 32
	}
	for _, s := range v.segments(ctx, a) {
		plan.Segments = append(plan.Segments, elfcore.Segment(s))
	}
	if len(k.EraseInfo) > 0 && !hasNote(plan.Notes, k.Order, "ERASEINFO") {
		plan.Notes = elfnote.Append(plan.Notes, k.Order, Note{Name: "ERASEINFO", Type: elfnote.TypeEraseInfo, Desc: k.EraseInfo})
	}
	return plan, nil
}

// segments are the virtual addresses of memory: as the container tells them, else those of
// the direct map and of the kernel's image.
func (v *conversion) segments(ctx context.Context, a arch.Arch) []Segment {
	if len(v.d.Header.Segments) > 0 {
		return v.d.Header.Segments
	}
	info, err := v.d.VMCoreInfo(ctx)
	if err != nil {
		return nil
	}
	space, err := a.Space(v.d.Hints(info), v.d)
	if err != nil {
		return nil
	}
	var out []Segment
	first, last := v.memory()
	if virt, ok := space.Virt(first); ok {
		out = append(out, Segment{virt, phys.Span{Start: first, End: last}})
	}
	start, end := space.ImageRange()
	if at, ok := space.Image(start); ok && start < end {
		out = append(out, Segment{start, phys.Span{Start: at, End: at + phys.Addr(end-start)}})
	}
	return out
}

// memory is the span from the first page that the dump knows of to the last.
func (v *conversion) memory() (first, last phys.Addr) {
	span := phys.PageSpan(0, uint64(v.d.MaxPFN()), v.d.PageSize())
	for run, err := range v.d.Runs() {
		if err == nil && phys.Reason(run.Why) != phys.ErrHole {
			span.Start = phys.PageSpan(run.Start, 1, v.d.PageSize()).Start
			break
		}
	}
	return span.Start, span.End
}
