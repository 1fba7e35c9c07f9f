package debuginfo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/kautopsy/kautopsy/phys"
)

// errNotProgram: what was unpacked is no ELF file.
var errNotProgram = errors.New("neither a vmlinux nor a module")

// maxNested bounds packed files in packed files: a vmlinuz in a .gz is one of two.
const maxNested = 4

// program follows a stream to the ELF file in it: through packings, and from a bootable
// image to its payload.
func program(r io.Reader) (io.Reader, error) {
	for range maxNested {
		b, err := unpacked(r)
		if err != nil {
			return nil, err
		}
		h, err := b.Peek(bootHeader)
		at, size, isBzImage := int64(0), int64(0), false
		switch {
		case len(h) >= 4 && string(h[:4]) == "\x7fELF":
			return b, nil
		case err != nil && err != io.EOF:
			return nil, err
		case packingOf(h) != nil:
			r = b
			continue
		case len(h) == bootHeader && string(h[0x202:0x206]) == "HdrS":
			isBzImage = true
			at, size = bzImagePayload(h)
		case len(h) == bootHeader && string(h[:8]) == "MZ\x00\x00zimg":
			at, size = int64(binary.LittleEndian.Uint32(h[8:])), int64(binary.LittleEndian.Uint32(h[12:]))
		case len(h) == bootHeader && string(h[0x38:0x3c]) == "ARM\x64":
			return nil, fmt.Errorf("an arm64 Image: %w", ErrNoDebug)
		default:
			return nil, fmt.Errorf("%w: %w", errNotProgram, phys.ErrUnsupported)
		}
		if size == 0 {
			return nil, fmt.Errorf("a bootable kernel without a payload: %w", phys.ErrUnsupported)
		}
		if _, err := io.CopyN(io.Discard, b, at); err != nil {
			return nil, unpackError("bootable kernel", err)
		}
		if head, _ := b.Peek(8); isBzImage && !isGzip(head) {
			size -= sizeBehind
		}
		r = io.LimitReader(b, size)
	}
	return nil, fmt.Errorf("packed more than %d times: %w", maxNested, phys.ErrLimit)
}

// sizeBehind is the length of the number that a bzImage's build puts behind its payload:
// how long the kernel is unpacked. gzip's own end says so (size_append in
// scripts/Makefile.lib). What follows a payload is damage to most unpackers.
const sizeBehind = 4

func isGzip(head []byte) bool {
	p := packingOf(head)
	return p != nil && p.name == "gzip"
}

// bootHeader is as much of a file as its kind is told by.
const bootHeader = 0x250

// bzImagePayload is where the packed kernel lies in a bzImage
// (Documentation/arch/x86/boot.rst, boot protocol 2.08 on):
//
//	0x1f1 setup_sects (1) | 0x202 "HdrS" | 0x248 payload_offset (4) | 0x24c payload_length (4)
func bzImagePayload(h []byte) (at, size int64) {
	sectors := int64(h[0x1f1])
	if sectors == 0 {
		sectors = 4
	}
	le := binary.LittleEndian
	return (sectors+1)*512 + int64(le.Uint32(h[0x248:])), int64(le.Uint32(h[0x24c:]))
}
