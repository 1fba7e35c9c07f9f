package guesttest

import (
	"bytes"
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/internal/elfnote"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// Memory is the small guest's memory, to be altered.
type Memory struct {
	t     testing.TB
	k     *kernel.Kernel
	image *dumptest.Image
	notes *[]byte
}

// LoseRegisters leaves out the n-th of the notes with registers.
func (m Memory) LoseRegisters(n int) {
	m.t.Helper()
	var kept []byte
	for note, err := range elfnote.All(*m.notes, binary.LittleEndian) {
		if err != nil {
			m.t.Fatal(err)
		}
		if note.Type == elfnote.TypePRStatus {
			if n--; n == -1 {
				continue
			}
		}
		kept = elfnote.Append(kept, binary.LittleEndian, note)
	}
	*m.notes = kept
}

// NumberRegisters puts the numbers of the CPUs, from 1, where the PIDs are in the notes with
// registers, as QEMU does.
func (m Memory) NumberRegisters() {
	m.t.Helper()
	const pid = 32 // of struct elf_prstatus, in 64 bits
	var kept []byte
	number := uint32(0)
	for note, err := range elfnote.All(*m.notes, binary.LittleEndian) {
		if err != nil {
			m.t.Fatal(err)
		}
		if note.Type == elfnote.TypePRStatus {
			number++
			note.Desc = slices.Clone(note.Desc)
			binary.LittleEndian.PutUint32(note.Desc[pid:], number)
		}
		kept = elfnote.Append(kept, binary.LittleEndian, note)
	}
	*m.notes = kept
}

// Put writes bytes to a virtual address.
func (m Memory) Put(va uint64, b []byte) {
	m.t.Helper()
	for len(b) > 0 {
		a := m.at(va)
		size := uint64(m.image.PageSize)
		n := copy(m.image.Pages[phys.PFN(uint64(a)/size)][uint64(a)%size:], b)
		va, b = va+uint64(n), b[n:]
	}
}

// PutUint writes a member of an object, as wide as it is.
func (m Memory) PutUint(o kernel.Object, member string, v uint64) {
	m.t.Helper()
	at, err := o.Member(member)
	if err != nil {
		m.t.Fatal(err)
	}
	b := make([]byte, at.Type.Size())
	for i := range b {
		b[i] = byte(v >> (8 * i)) // the guest is little-endian
	}
	m.Put(at.Addr, b)
}

// Lose leaves a page's descriptor in the dump and its data out.
func (m Memory) Lose(va uint64) { m.image.Lost[m.pfn(va)] = true }

// Exclude leaves a page out as the dump filter does.
func (m Memory) Exclude(va uint64) {
	p := m.pfn(va)
	delete(m.image.Pages, p)
	m.image.Exclude(p, p+1)
}

func (m Memory) pfn(va uint64) phys.PFN { return phys.PFN(uint64(m.at(va)) / uint64(m.image.PageSize)) }

func (m Memory) at(va uint64) phys.Addr {
	m.t.Helper()
	a, err := m.k.Translate(va)
	if err != nil {
		m.t.Fatal(err)
	}
	return a
}

// Altered is the small guest with its memory changed: what a hostile or damaged dump of it
// would be.
func Altered(t testing.TB, change func(k *kernel.Kernel, m Memory)) *kernel.Kernel {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(tiny(t), "vmcore.zlib"))
	if err != nil {
		t.Fatal(err)
	}
	from, err := diskdump.New(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	image, err := dumptest.ImageOf(from)
	if err != nil {
		t.Fatal(err)
	}
	image.Lost = map[phys.PFN]bool{}
	k := Tiny(t).Kernel
	notes := from.Notes
	change(k, Memory{t, k, image, &notes})
	o := dumptest.DefaultKDUMP()
	o.Notes, o.PhysBase, o.Codec = notes, from.SubHeader.PhysBase, dumptest.Raw
	altered, err := image.KDUMP(o)
	if err != nil {
		t.Fatal(err)
	}
	d, err := vmcore.New(bytes.NewReader(altered), int64(len(altered)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, d)
}

// Tasks are the tasks of a kernel by PID, the idle ones left out.
func Tasks(t testing.TB, k *kernel.Kernel) map[int]kernel.Task {
	t.Helper()
	out := map[int]kernel.Task{}
	for task, err := range k.Tasks(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if !task.Idle {
			out[task.PID] = task
		}
	}
	return out
}

// Sorted are the keys of a map in their order.
func Sorted[V any](m map[int]V) []int { return slices.Sorted(maps.Keys(m)) }
