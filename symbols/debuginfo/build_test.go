package debuginfo_test

import (
	"archive/tar"
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"hash/crc64"
	"io"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"

	"github.com/kautopsy/kautopsy/internal/elfnote"
)

// program describes an ELF file to build.
type program struct {
	id      string // build-id
	module  bool
	debug   int // bytes of .debug_info
	link    string
	modinfo string // "key=value\0…"
	banner  string
}

// section is a section of it.
type section struct {
	name string
	typ  uint32
	data []byte
}

// build writes the file: header, sections, their names, their table.
func (p program) build() []byte {
	le := binary.LittleEndian
	id, err := hex.DecodeString(p.id)
	if err != nil {
		panic(err)
	}
	var list []section
	if len(id) > 0 {
		note := elfnote.Append(nil, le, elfnote.Note{Name: "Linux", Type: 257, Desc: make([]byte, 4)})
		list = append(list, section{".notes", 7, elfnote.Append(note, le, elfnote.Note{Name: "GNU", Type: 3, Desc: id})})
	}
	add := func(name, data string) {
		if data != "" {
			list = append(list, section{name, 1, []byte(data)})
		}
	}
	add(".rodata", p.banner)
	add(".modinfo", p.modinfo)
	add(".gnu_debuglink", p.link)
	add(".debug_info", strings.Repeat("DWARF\x00\xff\x01", p.debug/8))
	names := []byte{0}
	for _, s := range list {
		names = append(append(names, s.name...), 0)
	}
	list = append(list, section{".shstrtab", 3, append(names, ".shstrtab\x00"...)})
	out := make([]byte, 64)
	table := make([]byte, 64)
	for _, s := range list {
		h := make([]byte, 64)
		le.PutUint32(h, uint32(bytes.Index(list[len(list)-1].data, append([]byte(s.name), 0))))
		le.PutUint32(h[4:], s.typ)
		le.PutUint64(h[24:], uint64(len(out)))
		le.PutUint64(h[32:], uint64(len(s.data)))
		le.PutUint64(h[48:], 1)
		table = append(table, h...)
		out = append(out, s.data...)
	}
	copy(out, "\x7fELF\x02\x01\x01")
	le.PutUint16(out[16:], 2)
	if p.module {
		le.PutUint16(out[16:], 1)
	}
	le.PutUint16(out[18:], 62)
	le.PutUint32(out[20:], 1)
	le.PutUint64(out[40:], uint64(len(out)))
	for i, v := range []uint16{64, 56, 0, 64, uint16(len(list) + 1), uint16(len(list))} {
		le.PutUint16(out[52+2*i:], v)
	}
	return append(out, table...)
}

// packers pack as distributions do, by the ending of a file's name.
func packers(t testing.TB) map[string]func([]byte) []byte {
	written := func(open func(io.Writer) (io.WriteCloser, error)) func([]byte) []byte {
		return func(b []byte) []byte {
			var out bytes.Buffer
			w, err := open(&out)
			if err == nil {
				_, err = w.Write(b)
			}
			if err == nil {
				err = w.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			return out.Bytes()
		}
	}
	return map[string]func([]byte) []byte{
		"":      func(b []byte) []byte { return b },
		".gz":   written(func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }),
		".xz":   written(func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }),
		".zst":  written(func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }),
		".lzma": written(func(w io.Writer) (io.WriteCloser, error) { return lzma.NewWriter(w) }),
		".mt":   func(b []byte) []byte { return xzOfBlocks(t, b, 1000, 4) },
	}
}

// xzOfBlocks packs as xz with threads does: blocks that say their sizes. check is the kind of
// checksum: 0 none, 1 CRC-32, 4 CRC-64.
func xzOfBlocks(t testing.TB, b []byte, size int, check byte) []byte {
	le := binary.LittleEndian
	pad := func(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }
	out := le.AppendUint32([]byte("\xfd7zXZ\x00\x00"+string(check)), crc32.ChecksumIEEE([]byte{0, check}))
	var index []byte
	blocks := 0
	for ; len(b) > 0; blocks++ {
		part := b[:min(size, len(b))]
		b = b[len(part):]
		var packed bytes.Buffer
		w, err := lzma.Writer2Config{DictCap: lzma.MinDictCap}.NewWriter2(&packed)
		if err == nil {
			_, err = w.Write(part)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		h := binary.AppendUvarint([]byte{0, 0xc0}, uint64(packed.Len()))
		h = append(binary.AppendUvarint(h, uint64(len(part))), 0x21, 1, 0)
		h = pad(h)
		h[0] = byte(len(h) / 4)
		out = append(le.AppendUint32(append(out, h...), crc32.ChecksumIEEE(h)), pad(packed.Bytes())...)
		switch check {
		case 1:
			out = le.AppendUint32(out, crc32.ChecksumIEEE(part))
		case 4:
			out = le.AppendUint64(out, crc64.Checksum(part, crc64.MakeTable(crc64.ECMA)))
		}
		index = binary.AppendUvarint(binary.AppendUvarint(index, uint64(len(h)+4+packed.Len()+int(2*check))), uint64(len(part)))
	}
	index = pad(append(binary.AppendUvarint([]byte{0}, uint64(blocks)), index...))
	out = le.AppendUint32(append(out, index...), crc32.ChecksumIEEE(index))
	footer := append(le.AppendUint32(nil, uint32(len(index)/4)), 0, check)
	return append(append(le.AppendUint32(out, crc32.ChecksumIEEE(footer)), footer...), "YZ"...)
}

// file is a file in a package.
type file struct {
	name string
	data []byte
}

// tarOf writes a tar archive, with a folder and a link among the files.
func tarOf(t testing.TB, files []file) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	put := func(h tar.Header, data []byte) {
		h.Size, h.Mode = int64(len(data)), 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	put(tar.Header{Name: "./usr/", Typeflag: tar.TypeDir}, nil)
	put(tar.Header{Name: "./usr/lib/vmlinux-link", Linkname: "boot/vmlinux", Typeflag: tar.TypeSymlink}, nil)
	for _, f := range files {
		put(tar.Header{Name: "./" + f.name, Typeflag: tar.TypeReg}, f.data)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// arOf writes an ar archive.
func arOf(files []file) []byte {
	out := []byte("!<arch>\n")
	for _, f := range files {
		out = fmt.Appendf(out, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", f.name, 0, 0, 0, "100644", len(f.data))
		out = append(append(out, f.data...), make([]byte, len(f.data)&1)...)
	}
	return out
}

// debOf writes a Debian package, its parts packed one way.
func debOf(t testing.TB, files []file, ending string) []byte {
	pack := packers(t)[ending]
	var sums []byte
	for _, f := range files {
		sums = fmt.Appendf(sums, "%x  %s\n", md5.Sum(f.data), f.name)
	}
	return arOf([]file{
		{"debian-binary", []byte("2.0\n")},
		{"control.tar" + ending, pack(tarOf(t, []file{{"control", []byte("Package: x\n")}, {"md5sums", sums}}))},
		{"data.tar" + ending, pack(tarOf(t, files))},
	})
}

// cpioOf writes a cpio archive of the form that rpm uses.
func cpioOf(files []file) []byte {
	var out []byte
	put := func(name string, mode int, data []byte) {
		out = fmt.Appendf(out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
			1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
		out = append(append(out, name...), 0)
		out = append(out, make([]byte, -len(out)&3)...)
		out = append(out, data...)
		out = append(out, make([]byte, -len(out)&3)...)
	}
	put("./usr", 0o040755, nil)
	put("./usr/lib/vmlinux", 0o120777, []byte("boot/vmlinux"))
	for _, f := range files {
		put("./"+f.name, 0o100644, f.data)
	}
	put("TRAILER!!!", 0, nil)
	return out
}

// rpmOf writes an RPM package.
func rpmOf(t testing.TB, files []file, ending string) []byte {
	be := binary.BigEndian
	header := func(tags map[uint32][]byte, kinds map[uint32]uint32, counts map[uint32]int) []byte {
		var entries, store []byte
		for _, tag := range []uint32{1000, 1116, 1117, 1118} {
			if v, ok := tags[tag]; ok {
				store = append(store, make([]byte, -len(store)&3)...)
				for _, w := range []uint32{tag, kinds[tag], uint32(len(store)), uint32(counts[tag])} {
					entries = be.AppendUint32(entries, w)
				}
				store = append(store, v...)
			}
		}
		out := append([]byte("\x8e\xad\xe8\x01"), 0, 0, 0, 0)
		out = be.AppendUint32(be.AppendUint32(out, uint32(len(entries)/16)), uint32(len(store)))
		return append(append(out, entries...), store...)
	}
	var dirs, bases, index []byte
	for i, f := range files {
		dirs = append(append(dirs, "/"+path.Dir(f.name)+"/"...), 0)
		bases = append(append(bases, path.Base(f.name)...), 0)
		index = be.AppendUint32(index, uint32(i))
	}
	out := append([]byte("\xed\xab\xee\xdb\x03\x00"), make([]byte, 90)...)
	out = append(out, header(map[uint32][]byte{1000: []byte("sig\x00\x00")}, map[uint32]uint32{1000: 6}, map[uint32]int{1000: 1})...)
	out = append(out, make([]byte, -len(out)&7)...)
	n := len(files)
	out = append(out, header(map[uint32][]byte{1000: []byte("kernel\x00"), 1116: index, 1117: bases, 1118: dirs},
		map[uint32]uint32{1000: 6, 1116: 4, 1117: 8, 1118: 8}, map[uint32]int{1000: 1, 1116: n, 1117: n, 1118: n})...)
	return append(out, packers(t)[ending](cpioOf(files))...)
}

// bzImageOf writes a bootable image as x86 has it, the size of what is packed behind it but
// where gzip says so itself.
func bzImageOf(packed []byte, size int) []byte {
	le := binary.LittleEndian
	h := make([]byte, 3*512+64)
	h[0x1f1] = 2
	copy(h[0x1fe:], "\x55\xaa\xebjHdrS")
	le.PutUint32(h[0x248:], 64)
	packed = slices.Clone(packed)
	if packed[0] != 0x1f {
		packed = le.AppendUint32(packed, uint32(size))
	}
	le.PutUint32(h[0x24c:], uint32(len(packed)))
	return append(append(h, packed...), "the rest of setup code"...)
}

// zbootOf writes an EFI application with a packed kernel in it.
func zbootOf(packed []byte) []byte {
	le := binary.LittleEndian
	h := make([]byte, 0x300)
	copy(h, "MZ\x00\x00zimg")
	le.PutUint32(h[8:], uint32(len(h)))
	le.PutUint32(h[12:], uint32(len(packed)))
	copy(h[24:], "gzip")
	return append(append(h, packed...), "behind"...)
}
