package diskdump_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
)

// corpusBytes reads a file of the corpus, unpacked if it is packed.
func corpusBytes(t *testing.T, name ...string) []byte {
	t.Helper()
	file := dumptest.Corpus(t, name...)
	if strings.HasSuffix(file, ".xz") {
		var b bytes.Buffer
		if err := dumptest.Unxz(&b, file); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// digest is a SHA-256 over the number (u64, little-endian) and bytes of every page that
// the dump holds, and how many there are.
func digest(t *testing.T, s dumptest.Source) (sum string, pages int) {
	t.Helper()
	h := sha256.New()
	b := make([]byte, 8+s.PageSize())
	for run, err := range s.Runs() {
		if err != nil {
			t.Fatal(err)
		}
		for p := run.Start; p < run.End && run.Why == nil; p++ {
			if _, err := s.ReadPage(p, b[8:]); err != nil {
				t.Fatal(err)
			}
			binary.LittleEndian.PutUint64(b, uint64(p))
			h.Write(b)
			pages++
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)), pages
}

// recorded is what another program found in a dump: see truth/pages.sha256. The status is
// not compared: some dumps were packed again since.
type recorded struct {
	version, block, max, cpus    int
	ram, dumped, pages, notInELF int
	sum                          string
}

func readTruth(t *testing.T, dir string) (r recorded) {
	t.Helper()
	text := string(corpusBytes(t, dir, "truth", "pages.sha256"))
	const form = "version=%d status=%d block_size=%d max_mapnr=%d nr_cpus=%d\nbitmap1=%d bitmap2=%d pages=%d not_in_elf=%d\nsha256=%s"
	var status int
	_, err := fmt.Sscanf(text, form, &r.version, &status, &r.block, &r.max, &r.cpus, &r.ram, &r.dumped, &r.pages, &r.notInELF, &r.sum)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// checkTruth compares a dump with what was recorded of it.
func checkTruth(t *testing.T, want recorded, h diskdump.Header, s opened) {
	t.Helper()
	got := recorded{version: h.Version, block: h.BlockSize, max: int(s.MaxPFN()), cpus: int(h.NrCPUs)}
	got.sum, got.pages = digest(t, s)
	c, err := s.Counts()
	if err != nil {
		t.Fatal(err)
	}
	got.ram, got.dumped = int(c.Present+c.Excluded), int(c.Present)
	if got != want {
		t.Errorf("have %+v\nwant %+v", got, want)
	}
}

// TestCorpusPages: every page of the recorded dumps is what another program read.
func TestCorpusPages(t *testing.T) {
	if testing.Short() {
		t.Skip("unpacks 150 MB: not with -short")
	}
	for _, dir := range []string{"5.10", "6.1", "6.12", "7.2"} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			want := readTruth(t, dir)
			f := openBytes(t, corpusBytes(t, dir, "vmcore.raw.xz"))
			checkTruth(t, want, f.Header, f)
		})
	}
}

// tinyPart opens one file of the small dump.
func tinyPart(t *testing.T, name string) *diskdump.File {
	t.Helper()
	return openBytes(t, corpusBytes(t, "tiny", name))
}

// TestCorpusTiny: the small dump is the same plain, flattened and split, but for what was
// erased when the latter two were written, which makedumpfile overwrites with X.
func TestCorpusTiny(t *testing.T) {
	plain, flat := tinyPart(t, "vmcore.zlib"), tinyPart(t, "vmcore.flat.xz")
	checkTruth(t, readTruth(t, "tiny"), plain.Header, plain)
	set := tinySet(t)
	if len(set.Problems())+len(flat.Problems) != 0 || !strings.HasPrefix(string(flat.EraseInfo), "erase _text size ") {
		t.Errorf("problems %v, %v, eraseinfo %.40q", set.Problems(), flat.Problems, flat.EraseInfo)
	}
	erased := 0
	for p := range dumptest.Whys(t, plain) {
		a, errA := readPage(plain, p)
		b, errB := readPage(flat, p)
		c, errC := readPage(set, p)
		if phys.Reason(errA) != phys.Reason(errB) || phys.Reason(errA) != phys.Reason(errC) {
			t.Fatalf("page %#x: plain %v, flattened %v, split %v", uint64(p), errA, errB, errC)
		}
		if !bytes.Equal(c, a) && !bytes.Equal(c, b) {
			t.Errorf("page %#x of the split set is neither of the others'", uint64(p))
		}
		if !bytes.Equal(a, b) {
			erased++
			if i := mismatch(a, b); b[i] != 'X' {
				t.Errorf("page %#x differs at %d and is not erased there", uint64(p), i)
			}
		}
	}
	if erased == 0 {
		t.Error("nothing was erased")
	}
}

func tinySet(t *testing.T) *diskdump.Set {
	t.Helper()
	return join(t, tinyPart(t, "vmcore.split.3"), tinyPart(t, "vmcore.split.1"), tinyPart(t, "vmcore.split.2"))
}

func readPage(s dumptest.Source, p phys.PFN) ([]byte, error) {
	b := make([]byte, s.PageSize())
	n, err := s.ReadPage(p, b)
	return b[:n], err
}

// mismatch is the first place where pages differ.
func mismatch(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// TestCorpusCodecs: the second part of the small dump is the same in LZO and snappy.
func TestCorpusCodecs(t *testing.T) {
	part := tinySet(t).Parts()[1]
	first, end, _ := part.PartRange()
	want, pages := digest(t, part)
	for _, name := range []string{"part2.lzo", "part2.snappy"} {
		f := tinyPart(t, name)
		if a, b, split := f.PartRange(); a != first || b != end || !split {
			t.Errorf("%s holds %d-%d, want %d-%d", name, a, b, first, end)
		}
		if sum, n := digest(t, f); sum != want || n != pages || n == 0 {
			t.Errorf("%s: %d pages, %s, want %d, %s", name, n, sum, pages, want)
		}
	}
}

// TestCorpusQEMU: each target's dump opens in its own layout, and all its pages decode.
// An i386 guest with memory above 4 GiB has the 64-bit layout.
func TestCorpusQEMU(t *testing.T) {
	tests := []struct {
		name       string
		big        bool
		ptr, block int
		machine    string
	}{
		{"x64", false, 8, 4096, "x86_64"},
		{"i386", false, 8, 4096, "i686"},
		{"a64", false, 8, 65536, "Unknown"},
		{"arm", false, 4, 4096, "Unknown"},
		{"ppc64", true, 8, 65536, "Unknown"},
		{"rv64", false, 8, 4096, "Unknown"},
		{"rv32", false, 4, 4096, "Unknown"},
		{"s390x", true, 8, 4096, "S390X"},
	}
	for _, tt := range tests {
		f := openBytes(t, corpusBytes(t, "qemu", tt.name+".kdump-zlib"))
		got := fmt.Sprint(f.Order == binary.ByteOrder(binary.BigEndian), f.PtrSize, f.PageSize(), f.Header.Utsname.Machine, f.Problems)
		if want := fmt.Sprint(tt.big, tt.ptr, tt.block, tt.machine, []error(nil)); got != want {
			t.Errorf("%s opens as %s, want %s", tt.name, got, want)
		}
		if len(f.Notes) == 0 || f.SubHeader.MaxMapnr64 != uint64(f.Header.MaxMapnr) {
			t.Errorf("%s: %d bytes of notes, max_mapnr_64 %d", tt.name, len(f.Notes), f.SubHeader.MaxMapnr64)
		}
		if _, n := digest(t, f); n == 0 {
			t.Errorf("%s holds no page", tt.name)
		}
	}
}
