package dwarf_test

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// TestCompressed: a module, and the kernel whose sections do not fit into memory, say the
// same with their debug sections compressed, by zlib and by zstd.
func TestCompressed(t *testing.T) {
	for _, name := range []string{"crashkit.ko", "vmlinux.debug.xz"} {
		if testing.Short() && name != "crashkit.ko" {
			continue
		}
		plain, path := open(t, name)
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		addrs := samples(t, plain, "", 64)
		if name == "crashkit.ko" {
			addrs = samples(t, plain, "", 1)
		}
		for _, typ := range []elf.CompressionType{elf.COMPRESS_ZLIB, elf.COMPRESS_ZSTD} {
			if typ == elf.COMPRESS_ZLIB && name != "crashkit.ko" {
				continue // that of the kernel takes long to make
			}
			packed := compress(t, file, typ)
			f, err := dwarf.Open(bytes.NewReader(packed), int64(len(packed)))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for _, a := range addrs {
				want, err1 := plain.Source(a.addr)
				got, err2 := f.Source(a.addr)
				if (err1 == nil) != (err2 == nil) || !slices.Equal(got, want) {
					t.Fatalf("%s, %v, %#x: %+v, %v; plain %+v, %v", name, typ, a.addr, got, err2, want, err1)
				}
			}
			t.Logf("%s, %v: %d of %d bytes, %d addresses alike", name, typ, len(packed), len(file), len(addrs))
			if len(addrs) < 100 {
				t.Error("too few")
			}
		}
	}
}

// compress appends each debug section in compressed form and makes its header point there.
func compress(t *testing.T, file []byte, typ elf.CompressionType) []byte {
	t.Helper()
	e, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	out := slices.Clone(file)
	shoff := le.Uint64(file[0x28:])
	for i, s := range e.Sections {
		if !strings.HasPrefix(s.Name, ".debug_") {
			continue
		}
		var b bytes.Buffer
		chdr := make([]byte, 24) // Elf64_Chdr: ch_type, ch_reserved, ch_size, ch_addralign
		le.PutUint32(chdr, uint32(typ))
		le.PutUint64(chdr[8:], s.Size)
		le.PutUint64(chdr[16:], s.Addralign)
		b.Write(chdr)
		squeeze(t, &b, file[s.Offset:][:s.Size], typ)
		head := out[shoff+64*uint64(i):] // Elf64_Shdr: sh_flags at 8, sh_offset at 24, sh_size at 32
		le.PutUint64(head[8:], uint64(s.Flags|elf.SHF_COMPRESSED))
		le.PutUint64(head[24:], uint64(len(out)))
		le.PutUint64(head[32:], uint64(b.Len()))
		out = append(out, b.Bytes()...)
	}
	return out
}

func squeeze(t *testing.T, b *bytes.Buffer, data []byte, typ elf.CompressionType) {
	t.Helper()
	if typ == elf.COMPRESS_ZSTD {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		b.Write(w.EncodeAll(data, nil))
		return
	}
	w, err := zlib.NewWriterLevel(b, zlib.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}
