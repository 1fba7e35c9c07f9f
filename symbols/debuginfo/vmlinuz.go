package debuginfo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/kautopsy/kautopsy/phys"
)

// errNotProgram: what was unpacked is no ELF file.
var errNotProgram = errors.New("neither a vmlinux nor a module")

// maxNested bounds packed files in packed files: a vmlinuz in a .gz is one of two.
const maxNested = 4

// program follows a stream to the ELF file in it: through packings, and from a bootable
// image to its payload.
func program(r io.Reader) (io.Reader, error) {
	bootable := false
	for range maxNested {
		b, err := unpacked(r)
		var h []byte
		if err == nil {
			h, err = b.Peek(bootHeader)
		}
		switch {
		case bootable && errors.Is(err, phys.ErrUnsupported): // xz with a filter, LZ4: there would be nothing in it for us
			return nil, fmt.Errorf("a bootable kernel: %w", ErrNoDebug)
		case err != nil && err != io.EOF:
			return nil, err
		case strings.HasPrefix(string(h), "\x7fELF"):
			return b, nil
		case packingOf(h) != nil:
			r = b
			continue
		}
		if r, err = payload(b, h); err != nil {
			return nil, err
		}
		bootable = true
	}
	return nil, fmt.Errorf("packed more than %d times: %w", maxNested, phys.ErrLimit)
}

// payload is the packed kernel in a bootable one, which begins with h.
func payload(b *stream, h []byte) (io.Reader, error) {
	at, size, behind := int64(0), int64(0), int64(0)
	switch {
	case len(h) < bootHeader:
		return nil, fmt.Errorf("%w: %w", errNotProgram, phys.ErrUnsupported)
	case string(h[0x202:0x206]) == "HdrS":
		at, size = bzImagePayload(h)
		behind = sizeBehind
	case string(h[:8]) == "MZ\x00\x00zimg":
		at, size = int64(binary.LittleEndian.Uint32(h[8:])), int64(binary.LittleEndian.Uint32(h[12:]))
	case string(h[0x38:0x3c]) == "ARM\x64":
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
	if head, _ := b.Peek(8); strings.HasPrefix(string(head), gzipMagic) {
		behind = 0
	}
	return io.LimitReader(b, size-behind), nil
}

// sizeBehind is the length of the number that a bzImage's build puts behind its payload:
// how long the kernel is unpacked. gzip's own end says so (size_append in
// scripts/Makefile.lib). What follows a payload is damage to most unpackers.
const sizeBehind = 4

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
