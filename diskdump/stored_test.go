package diskdump_test

import (
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
)

// TestStored: every page is counted under the codec of its descriptor; random pages do
// not shrink and are stored raw, and so is the shared zero page.
func TestStored(t *testing.T) {
	for _, codec := range dumptest.Codecs() {
		f, m := many(t, codec)
		got, err := f.Stored()
		if err != nil {
			t.Fatal(err)
		}
		total := uint64(0)
		for _, n := range got {
			total += n
		}
		if total != uint64(len(m.Pages)) {
			t.Errorf("%s: %v, want %d pages in all", codec, got, len(m.Pages))
		}
	}
}

// TestStoredSees: a compressible page is counted under its codec.
func TestStoredSees(t *testing.T) {
	names := map[dumptest.Codec]string{dumptest.Raw: "none", dumptest.Zlib: "zlib", dumptest.LZO: "lzo", dumptest.Snappy: "snappy", dumptest.Zstd: "zstd"}
	for codec, name := range names {
		m := &dumptest.Image{PageSize: 4096}
		m.Set(3, dumptest.Fill(4096, "task_struct"))
		o := dumptest.DefaultKDUMP()
		o.Codec = codec
		file, err := m.KDUMP(o)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := openBytes(t, file).Stored(); err != nil || got[name] != 1 || len(got) != 1 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
