package vmcore

import (
	"os"
	"runtime/debug"
	"syscall"
)

// mappedFile reads small pieces of a file from a mapping of it, which needs no call to the
// kernel, and large ones by read, so that who reads all of it does not fill the process with the
// file. A scan looks at windows of it instead, see View.
//
// A mapping of a file that is cut short, or lies on a medium that fails, faults where a read
// gives an error. The runtime turns that fault into a panic for us (SetPanicOnFault); the
// piece is then read by read, which says what is wrong.
//
// What a cut leaves of a page of memory does not fault: zeros stand where the rest was. But
// then the file's last byte is gone, which is looked at after each copy, and faults, unless
// the cut lies in its own page; so that page is not read from the mapping.
type mappedFile struct {
	*os.File
	mem  []byte
	last byte  // of mem
	most int64 // where the page of the last byte begins

	windows windows
}

// mapBelow is the length of reads that are worth a mapping.
const mapBelow = 16 << 10

// mapFile maps a file. What cannot be mapped, a disk or a file too long for the address
// space, is read by read.
func mapFile(f *os.File, size int64) dumpFile {
	var last [1]byte
	if _, err := f.ReadAt(last[:], size-1); err != nil || int64(int(size)) != size {
		return f
	}
	mem, err := syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return f
	}
	return &mappedFile{File: f, mem: mem, last: last[0], most: (size - 1) &^ int64(os.Getpagesize()-1)}
}

// ReadAt reads as os.File does.
func (m *mappedFile) ReadAt(p []byte, off int64) (int, error) {
	if len(p) < mapBelow && off >= 0 && off <= m.most-int64(len(p)) && m.copy(p, off) {
		return len(p), nil
	}
	return m.File.ReadAt(p, off)
}

// copy copies mapped memory; false if that faults, or if the file is not what it was.
func (m *mappedFile) copy(p []byte, off int64) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { _ = recover() }() // ok is false then
	copy(p, m.mem[off:])
	return m.whole()
}

// whole tells whether the last byte is there: it faults otherwise, or is another.
func (m *mappedFile) whole() bool { return m.mem[len(m.mem)-1] == m.last }

// Close unmaps and closes.
func (m *mappedFile) Close() error {
	m.windows.shrink(0)
	_ = syscall.Munmap(m.mem)
	return m.File.Close()
}
