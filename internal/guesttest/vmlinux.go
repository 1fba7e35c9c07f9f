package guesttest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/kernel"
)

// VMLinux makes a whole vmlinux of the small guest, as crash wants it: the file of debug
// information that the repository holds has no code and no data, so each segment gets what lay
// at its place in the guest's memory. What was not kept is zeroes.
func VMLinux(t testing.TB) string {
	t.Helper()
	debug := dumptest.Unpacked(t, filepath.Join(tiny(t), "vmlinux.debug.xz"))
	name := debug + ".whole" // Main removes it with what was unpacked
	if _, err := os.Stat(name); err == nil {
		return name
	}
	file, err := os.ReadFile(debug)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	k := Tiny(t).Kernel
	info, err := k.Info()
	if err != nil {
		t.Fatal(err)
	}
	moved, _ := info.Hex("KERNELOFFSET")
	for i, p := range f.Progs {
		if p.Type != elf.PT_LOAD {
			continue
		}
		at := (uint64(len(file)) + segmentAlign - 1) &^ (segmentAlign - 1)
		at += p.Vaddr % segmentAlign
		size := place(f, file, p, at)
		header := file[binary.LittleEndian.Uint64(file[0x20:])+uint64(i)*56:] // e_phoff
		binary.LittleEndian.PutUint64(header[8:], at)                         // p_offset
		binary.LittleEndian.PutUint64(header[32:], size)                      // p_filesz
		file = append(file, make([]byte, at-uint64(len(file)))...)
		file = append(file, inMemory(k, p.Vaddr+moved, size)...)
	}
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// segmentAlign is more than any page.
const segmentAlign = 1 << 16

// place gives the sections of a segment, which now begins at an offset, their contents there,
// and tells how many bytes they take.
func place(f *elf.File, file []byte, p *elf.Prog, at uint64) (size uint64) {
	for i, s := range f.Sections {
		inside := s.Flags&elf.SHF_ALLOC != 0 && s.Addr >= p.Vaddr && s.Addr+s.Size <= p.Vaddr+p.Memsz
		if !inside || s.Name == ".bss" || s.Name == ".brk" {
			continue
		}
		header := file[binary.LittleEndian.Uint64(file[0x28:])+uint64(i)*64:] // e_shoff
		if s.Type == elf.SHT_NOBITS {
			binary.LittleEndian.PutUint32(header[4:], uint32(elf.SHT_PROGBITS))
		}
		binary.LittleEndian.PutUint64(header[24:], at+s.Addr-p.Vaddr) // sh_offset
		size = max(size, s.Addr+s.Size-p.Vaddr)
	}
	return size
}

// inMemory reads what it can, page by page.
func inMemory(k *kernel.Kernel, va, size uint64) []byte {
	out := make([]byte, size)
	for at, page := uint64(0), uint64(k.PageSize()); at < size; {
		end := min(size, at+page-(va+at)%page)
		if _, err := k.ReadVirt(out[at:end], va+at); err != nil {
			clear(out[at:end])
		}
		at = end
	}
	return out
}
