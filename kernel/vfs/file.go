package vfs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// File is one file that a task has open. Object is its struct file.
type File struct {
	kernel.Object

	FD          int
	Dentry      uint64 // address of the struct dentry
	Inode       uint64 // address of the struct inode
	Superblock  uint64 // address of the struct super_block
	Ino         uint64 // number of the inode
	Type        Type   // 0: the inode could not be read
	Path        string // as in /proc/PID/fd
	Flags       uint64 // O_… of open(2), without O_CLOEXEC
	Pos         int64  // bytes
	CloseOnExec bool
}

// Type is the i_mode of an inode, whose top bits are what kind of thing it is.
type Type uint16

// String is crash's word for the kind: REG, DIR, LNK, CHR, BLK, PIPE, SOCK, and UNKN for
// what is no file, such as an eventpoll.
func (t Type) String() string {
	switch t & 0o170000 {
	case 0o140000:
		return "SOCK"
	case 0o120000:
		return "LNK"
	case 0o100000:
		return "REG"
	case 0o060000:
		return "BLK"
	case 0o040000:
		return "DIR"
	case 0o020000:
		return "CHR"
	case 0o010000:
		return "PIPE"
	}
	return "UNKN"
}

// cloexec is O_CLOEXEC; it differs on alpha, parisc and sparc alone.
const cloexec = 0o2000000

// FDInfoFlags are the flags as /proc/PID/fdinfo shows them, O_CLOEXEC among them.
func (f File) FDInfoFlags() uint64 {
	if f.CloseOnExec {
		return f.Flags | cloexec
	}
	return f.Flags
}

// Access is how the file may be used: "r", "w" or "rw"; "path" when it is only a place
// (O_PATH).
func (f File) Access() string {
	if f.Flags&0o10000000 != 0 {
		return "path"
	}
	return [...]string{"r", "w", "rw", "rw"}[f.Flags&3]
}

// Places are the directories that a task's paths begin with, and its program.
type Places struct{ Root, CWD, Exe string }

// PlacesOf reads where a task is. Kernel threads have no program, tasks that have ended
// nothing at all.
func PlacesOf(k *kernel.Kernel, task kernel.Task) (p Places, err error) {
	errs := make([]error, 3)
	if at, err := task.Pointer("fs"); err == nil && at != 0 {
		p.Root, errs[0] = named(k, task.Object, "fs", "root")
		p.CWD, errs[1] = named(k, task.Object, "fs", "pwd")
	}
	if at, err := task.Pointer("mm"); err == nil && at != 0 && !task.KernelThread {
		p.Exe, errs[2] = program(k, task)
	}
	if err = errors.Join(errs...); err != nil {
		err = fmt.Errorf("task %d: %w", task.PID, err)
	}
	return p, err
}

// named is the name of a struct path behind a pointer.
func named(k *kernel.Kernel, o kernel.Object, pointer, path string) (string, error) {
	o, err := o.Follow(pointer)
	if err != nil {
		return "", err
	}
	if o, err = o.Member(path); err != nil {
		return "", err
	}
	return k.PathName(o)
}

// program is the path of mm->exe_file, which a process can lose.
func program(k *kernel.Kernel, task kernel.Task) (string, error) {
	mm, err := task.Follow("mm")
	if err != nil {
		return "", err
	}
	if at, err := mm.Pointer("exe_file"); err != nil || at == 0 {
		return "", err
	}
	exe, err := mm.Follow("exe_file")
	if err != nil {
		return "", err
	}
	return k.PathName(exe)
}

// Files yields the files that a task has open, by descriptor. Threads of a process share
// them. An error about a file comes with its descriptor and what is known of it; an error
// without a file says which descriptors could not be looked at.
func Files(ctx context.Context, k *kernel.Kernel, task kernel.Task) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		if at, err := task.Pointer("files"); err == nil && at == 0 {
			return // ended, or a thread of the kernel's own making
		}
		t, err := openTable(task)
		if err != nil {
			yield(File{FD: -1}, fmt.Errorf("files of task %d: %w", task.PID, err))
			return
		}
		for fd := 0; fd < t.n; fd += window {
			if err := ctx.Err(); err != nil {
				yield(File{FD: -1}, err)
				return
			}
			if !t.part(k, task, fd, yield) {
				return
			}
		}
	}
}

// table is a task's table of descriptors: a struct fdtable (2.6.14 on).
type table struct {
	kernel.Object
	first kernel.Object // fd[0]
	n     int
}

const (
	maxFDs = 1 << 24 // bounds a table; fs.nr_open is 1 Mi unless somebody raised it
	window = 512     // descriptors that are looked at together
)

func openTable(task kernel.Task) (t table, err error) {
	if t.Object, err = task.Through("files", "fdt"); err != nil {
		return t, err
	}
	n, err := t.Uint("max_fds")
	if err != nil {
		return t, err
	}
	if n > maxFDs {
		return t, fmt.Errorf("a table of %d descriptors: %w", n, phys.ErrCorrupt)
	}
	t.n = int(n)
	t.first, err = t.Follow("fd")
	return t, err
}

// part yields the files of a window of descriptors. Where a page of the table is gone, so
// are the descriptors on it.
func (t table) part(k *kernel.Kernel, task kernel.Task, from int, yield func(File, error) bool) bool {
	word := k.PtrSize()
	n := min(window, t.n-from)
	slots := make([]byte, n*word)
	got, err := k.ReadVirt(slots, t.first.Addr+uint64(from*word))
	for i := range got / word {
		if bin.Uint(slots[i*word:][:word], k.Dump().Header.Order) == 0 {
			continue
		}
		f := File{FD: from + i}
		ferr := f.read(k, t)
		if ferr != nil {
			ferr = fmt.Errorf("descriptor %d of task %d: %w", f.FD, task.PID, ferr)
		}
		if !yield(f, ferr) {
			return false
		}
	}
	if err == nil {
		return true
	}
	return yield(File{FD: -1}, fmt.Errorf("descriptors %d to %d of task %d: %w", from+got/word, from+n-1, task.PID, err))
}

// read asks a struct file what File has.
func (f *File) read(k *kernel.Kernel, t table) (err error) {
	slot := k.Object(t.first.Type, t.first.Addr+uint64(f.FD*k.PtrSize()))
	if f.Object, err = slot.Follow(); err != nil {
		return err
	}
	m := f.Fields()
	f.Flags, f.Pos = m.Uint("f_flags")&^cloexec, m.Int("f_pos")
	errs := []error{m.Err()}
	f.CloseOnExec, err = t.bit("close_on_exec", f.FD)
	errs = append(errs, err)
	p, err := k.Path(f.Object)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	f.Dentry = p.Dentry.Addr
	f.Path, err = p.Name()
	errs = append(errs, err)
	inode, err := f.Follow("f_inode")
	if errors.Is(err, symbols.ErrNoMember) { // before 3.9
		inode, err = p.Dentry.Follow("d_inode")
	}
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	i := inode.Fields()
	f.Inode, f.Ino, f.Type = inode.Addr, i.Uint("i_ino"), Type(i.Uint("i_mode"))
	f.Superblock = i.Pointer("i_sb")
	return errors.Join(append(errs, i.Err())...)
}

// bit reads a descriptor's bit of one of the table's bitmaps.
func (t table) bit(bitmap string, fd int) (bool, error) {
	words, err := t.Member(bitmap)
	if err != nil {
		return false, err
	}
	if s := words.Type.Underlying().Elem(); strings.Contains(s.String(), "fd_set") { // before 3.4
		set, err := words.Follow()
		if err != nil {
			return false, err
		}
		if words, err = set.Member("fds_bits"); err != nil {
			return false, err
		}
	}
	bits := int(words.Type.Underlying().Elem().Size()) * 8
	if bits == 0 {
		return false, fmt.Errorf("%s: %w", bitmap, symbols.ErrNoMember)
	}
	w, err := words.Index(uint64(fd / bits))
	if err != nil {
		return false, err
	}
	v, err := w.Uint()
	return v>>(fd%bits)&1 != 0, err
}
