// Package codec decodes and codes the pages of a dump: one page is one independent stream
// whose decoded size is known before.
//
// The flags of a page descriptor name the codec (makedumpfile diskdump_mod.h):
//
//	0x00 raw   0x01 zlib (RFC 1950)   0x02 LZO1X   0x04 snappy block   0x20 zstd frame
//
// zlib and LZO pages, which most dumps have, are decoded and coded here, two and three times
// as fast as by libraries that take streams: a page is copied into a window, see there, and
// worked on at once. snappy and zstd pages are decoded likewise. Libraries code those, and
// decode pages larger than any kernel's.
package codec

import (
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
)

// Method is a codec, by its bit in a page descriptor's flags.
type Method uint32

// The codecs that page descriptors name.
const (
	Raw    Method = 0
	Zlib   Method = 0x01
	LZO    Method = 0x02
	Snappy Method = 0x04
	Zstd   Method = 0x20

	// Mask has every codec's bit.
	Mask = Zlib | LZO | Snappy | Zstd
)

// method is one row of the table: how a page of this codec becomes its bytes. decode
// fills dst exactly or returns an error.
type method struct {
	bit    Method
	name   string
	decode func(d *Decoder, dst, src []byte) error
}

// methods in the order in which readers test the bits.
var methods = [...]method{
	{Raw, "none", (*Decoder).raw},
	{Zlib, "zlib", (*Decoder).zlib},
	{LZO, "lzo", (*Decoder).lzo},
	{Snappy, "snappy", (*Decoder).snappy},
	{Zstd, "zstd", (*Decoder).zstd},
}

// String is the codec's name as kautopsy prints it; "none" for raw pages.
func (m Method) String() string {
	for _, row := range methods {
		if row.bit == m {
			return row.name
		}
	}
	return fmt.Sprintf("flags %#x", uint32(m))
}

// ByName finds a codec by the name that String gives it.
func ByName(name string) (Method, bool) {
	for _, row := range methods {
		if row.name == name {
			return row.bit, true
		}
	}
	return 0, false
}

// Decoder decodes pages and keeps the codecs' states between them. It is for one
// goroutine; the zero value is ready, and takes memory for the codecs that it meets.
type Decoder struct {
	windows *windows
	inflate *inflater
	frame   *frameDecoder
	tags    *snappyTags
	frames  frames
}

// Room is memory for a coded page of n bytes, good until Decode has decoded it: from there it takes
// the page as it stands, and from elsewhere a copy.
func (d *Decoder) Room(n int) []byte {
	if n > maxCoded {
		return make([]byte, n)
	}
	return d.own().in[:n]
}

// own is the decoder's memory.
func (d *Decoder) own() *windows {
	if d.windows == nil {
		d.windows = new(windows)
	}
	return d.windows
}

// load puts a coded page into the windows.
func (d *Decoder) load(src []byte) *windows {
	d.own().load(src)
	return d.windows
}

// Decode fills dst with the page that src holds. Anything but exactly len(dst) bytes,
// bytes behind the end of the stream and a wrong checksum are errors that wrap
// phys.ErrCorrupt; an unknown codec, or several at once, wraps phys.ErrCorrupt too,
// since no writer makes one.
func (d *Decoder) Decode(m Method, dst, src []byte) error {
	for i := range methods {
		if row := &methods[i]; row.bit == m {
			return row.decode(d, dst, src)
		}
	}
	return fmt.Errorf("page flags %#x name no codec: %w", uint32(m), phys.ErrCorrupt)
}

func (d *Decoder) raw(dst, src []byte) error {
	if len(src) != len(dst) {
		return wrongSize("none", len(src), len(dst))
	}
	copy(dst, src)
	return nil
}

func wrongSize(codec string, got, want int) error {
	return fmt.Errorf("%s: page of %d bytes, want %d: %w", codec, got, want, phys.ErrCorrupt)
}

func damaged(codec string, err error) error {
	return fmt.Errorf("%s: %v: %w", codec, err, phys.ErrCorrupt)
}
