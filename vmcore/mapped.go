package vmcore

import (
	"os"
	"runtime/debug"
	"syscall"
)

// mappedFile reads small pieces of a file from a mapping of it, which needs no call to the
// kernel, and large ones by read, so that a scan does not fill the process with the file.
//
// A mapping of a file that is cut short, or lies on a medium that fails, faults where a read
// gives an error. The runtime turns that fault into a panic for us (SetPanicOnFault); the
// piece is then read by read, which says what is wrong.
type mappedFile struct {
	*os.File
	mem []byte
}

// mapBelow is the length of reads that are worth a mapping.
const mapBelow = 16 << 10

// mapFile maps a file. What cannot be mapped, a disk or a file too long for the address
// space, is read by read.
func mapFile(f *os.File, size int64) dumpFile {
	if size <= 0 || int64(int(size)) != size {
		return f
	}
	mem, err := syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return f
	}
	return &mappedFile{f, mem}
}

// ReadAt reads as os.File does.
func (m *mappedFile) ReadAt(p []byte, off int64) (int, error) {
	if len(p) < mapBelow && off >= 0 && off <= int64(len(m.mem))-int64(len(p)) && copyMapped(p, m.mem[off:]) {
		return len(p), nil
	}
	return m.File.ReadAt(p, off)
}

// copyMapped copies from mapped memory; false if that faults.
func copyMapped(p, mem []byte) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { ok = recover() == nil }()
	copy(p, mem)
	return
}

// Close unmaps and closes.
func (m *mappedFile) Close() error {
	_ = syscall.Munmap(m.mem)
	return m.File.Close()
}
