package mm

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// VMA is one mapping in the address space of a process: struct vm_area_struct.
type VMA struct {
	kernel.Object

	Start, End uint64
	Flags      uint64 // VM_…
	Offset     uint64 // bytes, in the file; 0 without one
	File       uint64 // struct file, 0 if none
	Name       string // as /proc/PID/maps has it: a path, [heap], [stack], [vdso], [anon:…]
	// Err is what could not be read of it: of its name, as a rule.
	Err error
}

// The flags of a VMA that make the letters of /proc/PID/maps; they never moved.
const (
	vmRead     = 0x1
	vmWrite    = 0x2
	vmExec     = 0x4
	vmMayShare = 0x80
)

// Perms are the permissions as /proc/PID/maps has them: "r-xp".
func (v VMA) Perms() string {
	b := []byte("---p")
	for i, c := range []struct {
		bit    uint64
		letter byte
	}{{vmRead, 'r'}, {vmWrite, 'w'}, {vmExec, 'x'}, {vmMayShare, 's'}} {
		if v.Flags&c.bit != 0 {
			b[i] = c.letter
		}
	}
	return string(b)
}

// AddressSpace is the struct mm_struct of a task. Kernel threads, and processes that have
// ended, have none: phys.ErrUnmapped.
func (m *Memory) AddressSpace(t kernel.Task) (kernel.Object, error) {
	if t.KernelThread { // mm may be borrowed
		return kernel.Object{}, fmt.Errorf("task %d is a kernel thread: %w", t.PID, phys.ErrUnmapped)
	}
	return t.Follow("mm")
}

// VMAs yields the mappings of an address space in ascending order: of the maple tree since
// 6.1 (763ecb035029), of the list before. One that cannot be read comes as an error; the
// walk goes on where the structure allows that.
func (m *Memory) VMAs(ctx context.Context, space kernel.Object) iter.Seq2[VMA, error] {
	return func(yield func(VMA, error) bool) {
		for o, err := range m.vmaObjects(ctx, space) {
			var v VMA
			if err == nil {
				v, err = m.vma(ctx, space, o)
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

func (m *Memory) vmaObjects(ctx context.Context, space kernel.Object) iter.Seq2[kernel.Object, error] {
	return func(yield func(kernel.Object, error) bool) {
		if !space.Has("mm_mt") {
			m.vmaList(ctx, space, yield)
			return
		}
		tree, err := space.Member("mm_mt")
		t, err2 := m.k.Cast(0, "struct vm_area_struct")
		if err = errors.Join(err, err2); err != nil {
			yield(kernel.Object{}, err)
			return
		}
		for e, err := range m.k.MapleTree(ctx, tree, t.Type) {
			if !yield(e.Object, err) {
				return
			}
		}
	}
}

// maxVMAs is above what sysctl_max_map_count is ever set to.
const maxVMAs = 1 << 22

// vmaList walks mm.mmap by vm_next (until 6.0).
func (m *Memory) vmaList(ctx context.Context, space kernel.Object, yield func(kernel.Object, error) bool) {
	last := uint64(0)
	n := 0
	for o, err := space.Follow("mmap"); ; o, err = o.Follow("vm_next") {
		var end uint64
		if errors.Is(err, phys.ErrUnmapped) {
			return
		}
		if err == nil {
			end, err = o.Uint("vm_end")
		}
		switch {
		case err != nil:
		case ctx.Err() != nil:
			err = ctx.Err()
		case end <= last || n >= maxVMAs:
			err = fmt.Errorf("mappings do not ascend at %#x: %w", o.Addr, phys.ErrCorrupt)
		}
		if !yield(o, err) || err != nil {
			return
		}
		last = end
		n++
	}
}

// vma reads a mapping. vm_flags is a constant member of a union since 6.3, a bitmap since 7.x.
func (m *Memory) vma(ctx context.Context, space, o kernel.Object) (VMA, error) {
	v := VMA{Object: o}
	f := o.Fields()
	v.Start, v.End, v.Flags = f.Uint("vm_start"), f.Uint("vm_end"), f.Uint("vm_flags", "__vm_flags")
	v.File = f.Pointer("vm_file")
	offset := f.Uint("vm_pgoff")
	if err := f.Err(); err != nil {
		return v, fmt.Errorf("mapping %#x: %w", o.Addr, err)
	}
	if v.File != 0 {
		v.Offset = offset << m.pageShift()
	}
	v.Name, v.Err = m.vmaName(ctx, space, v)
	return v, nil
}

// vmaName is the name of a mapping, as get_vma_name of fs/proc/task_mmu.c finds it.
func (m *Memory) vmaName(ctx context.Context, space kernel.Object, v VMA) (string, error) {
	given, err := anonName(v)
	if err != nil {
		return "", err
	}
	if v.File != 0 {
		if given != "" {
			return "[anon_shmem:" + given + "]", nil
		}
		file, err := v.Follow("vm_file")
		if err != nil {
			return "", err
		}
		return m.k.PathName(file)
	}
	if name, err := m.specialName(ctx, v); name != "" || err != nil {
		return name, err
	}
	f := space.Fields()
	brk, startBrk, stack := f.Uint("brk"), f.Uint("start_brk"), f.Uint("start_stack")
	vdso := uint64(0)
	if space.Has("context.vdso") {
		vdso = f.Uint("context.vdso")
	}
	switch {
	case f.Err() != nil:
		return "", f.Err()
	case vdso != 0 && v.Start == vdso: // until 3.16 it has no name of its own
		return "[vdso]", nil
	case v.Start <= brk && v.End >= startBrk:
		return "[heap]", nil
	case v.Start <= stack && v.End >= stack:
		return "[stack]", nil
	case given != "":
		return "[anon:" + given + "]", nil
	}
	return "", nil
}

// anonName is what prctl(PR_SET_VMA_ANON_NAME) gave (5.17 on, 9a10064f5625). Until 6.1 a
// mapping of a file has something else in its place (d09e8ca6cb93).
func anonName(v VMA) (string, error) {
	at, err := v.Type.Member("anon_name")
	if err != nil {
		return "", nil
	}
	if tree, err := v.Type.Member("shared"); err == nil && tree.Offset == at.Offset && v.File != 0 {
		return "", nil
	}
	name, err := v.Follow("anon_name")
	if errors.Is(err, phys.ErrUnmapped) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return name.Text("name")
}

// specialName is the name of a mapping that the kernel made: [vdso], [vvar], [uprobes].
func (m *Memory) specialName(ctx context.Context, v VMA) (string, error) {
	ops, err := v.Follow("vm_ops")
	if errors.Is(err, phys.ErrUnmapped) || err == nil && !ops.Has("name") { // 3.16 on
		return "", nil
	}
	if err != nil {
		return "", err
	}
	fn, err := ops.Pointer("name")
	if err != nil || fn == 0 || m.callerName(ctx, fn) != "special_mapping_name" {
		return "", err
	}
	private, err := v.Pointer("vm_private_data")
	if err != nil {
		return "", err
	}
	special, err := m.k.Cast(private, "struct vm_special_mapping")
	if err != nil {
		return "", err
	}
	return special.Text("name")
}
