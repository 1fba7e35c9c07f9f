package debuginfo_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols/debuginfo"
)

// inputs are small files of every kind that is read.
func inputs(t testing.TB) map[string][]byte {
	vmlinux := program{id: id, debug: 800, banner: banner}.build()
	files := []file{{"boot/vmlinux-" + release, vmlinux}, {"doc", []byte("text")}}
	list := map[string][]byte{"bzImage": bzImageOf(packers(t)[".gz"](vmlinux), len(vmlinux)), "zboot": zbootOf(packers(t)[".zst"](vmlinux))}
	for ending, pack := range packers(t) {
		list["vmlinux"+ending] = pack(vmlinux)
		list["x"+ending+".deb"] = debOf(t, files, ending)
		list["x"+ending+".rpm"] = rpmOf(t, files, ending)
	}
	for _, check := range []byte{0, 1, 4} {
		list[fmt.Sprintf("check%d.xz", check)] = xzOfBlocks(t, vmlinux, 300, check)
	}
	return list
}

// look asks for the kernel in a file.
func look(t testing.TB, b []byte) (*debuginfo.File, error) {
	t.Helper()
	f := finder(t, debuginfo.Options{Files: []string{write(t, t.TempDir(), "x", b)}})
	return f.Find(t.Context(), kernelWant())
}

// TestMutated: files with bits turned, bytes put in and ends cut off are errors, or still
// the right file where it was not hit; never a panic.
func TestMutated(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 14))
	n, refused := 0, 0
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	all := inputs(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		whole := all[name]
		if _, err := look(t, whole); err != nil && !errors.Is(err, debuginfo.ErrNoDebug) {
			t.Fatalf("%s: %v", name, err)
		}
		for range rounds {
			b := bytes.Clone(whole)
			switch r.IntN(4) {
			case 0:
				b = b[:r.IntN(len(b))]
			case 1:
				for range 1 + r.IntN(8) {
					b[r.IntN(len(b))] ^= 1 << r.IntN(8)
				}
			case 2:
				at := r.IntN(min(len(b), 600))
				copy(b[at:], []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}[:1+r.IntN(8)])
			case 3:
				at := r.IntN(len(b))
				b = append(b[:at:at], b[min(len(b), at+r.IntN(64)):]...)
			}
			n++
			f, err := look(t, b)
			if err != nil {
				refused++
			} else if f.Proof == "" || f.BuildID != id && f.Proof != "banner" {
				t.Errorf("%s: taken with build-id %q, proof %q", name, f.BuildID, f.Proof)
			}
		}
	}
	t.Logf("%d of %d were refused", refused, n)
	if refused < n/2 {
		t.Errorf("only %d of %d were refused: nothing was hit", refused, n)
	}
}

// TestCut: a packed file that ends early is told to be, wherever it ends.
func TestCut(t *testing.T) {
	vmlinux := program{id: id, debug: 800}.build()
	for _, ending := range []string{".gz", ".xz", ".zst", ".mt"} {
		whole := packers(t)[ending](vmlinux)
		for n := 7; n < len(whole)-16; n += 1 + len(whole)/50 {
			if _, err := look(t, whole[:n]); phys.Reason(err) == nil {
				t.Errorf("%s cut to %d bytes: %v", ending, n, err)
			}
		}
	}
}

// TestBombs: what asks for much memory or time gets little.
func TestBombs(t *testing.T) {
	zeros := make([]byte, 64<<20)
	be, le := binary.BigEndian, binary.LittleEndian
	lead := append([]byte("\xed\xab\xee\xdb"), make([]byte, 92)...)
	huge := be.AppendUint32(be.AppendUint32(append(lead, "\x8e\xad\xe8\x01\x00\x00\x00\x00"...), 0x0fffffff), 0xffffffff)
	xzDict := []byte("\xfd7zXZ\x00\x00\x01")
	xzDict = le.AppendUint32(xzDict, crc32.ChecksumIEEE([]byte{0, 1}))
	block := []byte{2, 0, 0x21, 1, 40, 0, 0, 0} // a dictionary of 4 GiB
	xzDict = append(le.AppendUint32(append(xzDict, block...), crc32.ChecksumIEEE(block)), make([]byte, 64)...)
	sizes := []byte{3, 0xc0, 0xff, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0x0f, 0x21, 1} // blocks of 32 MiB that are not there
	sizes = append(sizes, 0)[:12]
	xzSize := append(le.AppendUint32(append(bytes.Clone(xzDict[:12]), sizes...), crc32.ChecksumIEEE(sizes)), make([]byte, 64)...)
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"zeros":             {packers(t)[".gz"](zeros), phys.ErrUnsupported},
		"zeros in a packer": {packers(t)[".gz"](packers(t)[".gz"](packers(t)[".gz"](packers(t)[".gz"](packers(t)[".gz"](zeros[:1<<20]))))), phys.ErrLimit},
		"an rpm's header":   {huge, phys.ErrLimit},
		"a dictionary":      {xzDict, phys.ErrLimit},
		"a block":           {xzSize, phys.ErrCorrupt},
		"a lzma dictionary": {append([]byte("\x5d\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff"), make([]byte, 64)...), phys.ErrLimit},
		"names in an rpm":   {rpmOf(t, []file{{strings.Repeat("x/", 3000) + "vmlinux", []byte("x")}}, ".gz"), phys.ErrCorrupt},
	} {
		if f, err := look(t, c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v; want %v", name, f, err, c.want)
		}
	}
}

// FuzzFind reads whatever comes as a file that -k names.
func FuzzFind(f *testing.F) {
	for _, b := range inputs(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<20 {
			return
		}
		if got, err := look(t, b); err == nil && got.BuildID != "" && got.BuildID != id {
			t.Errorf("taken with build-id %s", got.BuildID)
		}
	})
}
