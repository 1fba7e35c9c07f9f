package diskdump_test

import (
	"bytes"
	"encoding/binary"
	"runtime/metrics"
	"testing"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
)

// fuzzSeeds are files of all forms; the fuzzer edits them, since most of a file's 17 KiB
// are zeros in which it would search for long.
func fuzzSeeds(f *testing.F) (seeds [][]byte) {
	for _, words := range []string{
		"", "codec raw order be", "codec mixed incomplete", "ptr 4 arch armv7l physbase 0x2000 relative", "ptr 4packed order be",
		"version 3", "version 0", "format diskdump", "split 2", "flat", "flat shuffle 3", "flat overlap noend",
	} {
		files, err := parse(f, small+"\n"+words).Build()
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, files[len(files)-1])
	}
	return seeds
}

// edit changes a file: an edit is where (2 bytes), how many bytes (1), and those (8).
func edit(file, script []byte) []byte {
	b := bytes.Clone(file)
	for ; len(script) >= 11; script = script[11:] {
		at := int(binary.LittleEndian.Uint16(script)) % len(b)
		copy(b[at:], script[3:][:1+script[2]%8])
	}
	return b
}

// FuzzNew opens damaged files, plain or flattened, and uses them: each error has a reason
// and its page, and memory does not follow what headers claim.
func FuzzNew(f *testing.F) {
	seeds := fuzzSeeds(f)
	f.Add(byte(0), []byte{}, uint16(0))
	for i := range seeds {
		for at, value := range map[int]byte{424: 8, 428: 0x20, 436: 0xff, 440: 0xff, 4096 + 12: 1, 4096 + 16: 3, 3 * 4096: 0xff, 4 * 4096: 9} {
			script := make([]byte, 11)
			binary.LittleEndian.PutUint16(script, uint16(at))
			script[3] = value
			f.Add(byte(i), script, uint16(7*i))
		}
	}
	f.Fuzz(func(t *testing.T, seed byte, script []byte, less uint16) {
		b := edit(seeds[int(seed)%len(seeds)], script)
		b = b[:len(b)-int(less)%len(b)]
		var err error
		if taken := allocated(func() { err = useDump(b) }); taken > 32<<20 {
			t.Errorf("%d bytes taken for a file of %d", taken, len(b))
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// allocated is how many bytes f takes.
func allocated(f func()) uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	before := s[0].Value.Uint64()
	f()
	metrics.Read(s)
	return s[0].Value.Uint64() - before
}

// FuzzFlatten reads a stream of writes, four bytes each (offset, length), and compares it
// with a file that the writes were replayed into, whole and cut.
func FuzzFlatten(f *testing.F) {
	f.Add([]byte{0, 10, 0, 20, 0, 5, 0, 3, 0, 25, 0, 30}, uint16(60))
	f.Add([]byte{1, 0, 0, 1, 0, 0, 1, 0, 0, 255, 0, 2}, uint16(0xffff))
	f.Fuzz(func(t *testing.T, script []byte, cutAt uint16) {
		var records []dumptest.Record
		for ; len(script) >= 4 && len(records) < 100; script = script[4:] {
			off, n := binary.BigEndian.Uint16(script)%5000, 1+binary.BigEndian.Uint16(script[2:])%300
			records = append(records, dumptest.Record{Off: int64(off), Data: bytes.Repeat([]byte{byte(len(records) + 1)}, int(n))})
		}
		stream := dumptest.Stream(records, true)
		whole := flatten(t, stream)
		sameRead(t, whole, replay(records), 0, int(whole.Size())+1)
		n := 4096 + int(cutAt)
		if n > len(stream)-1 {
			return
		}
		checkCovered(t, flatten(t, stream[:n]), cut(records, n-4096))
	})
}

// FuzzFlattenRaw indexes any bytes as a stream.
func FuzzFlattenRaw(f *testing.F) {
	for _, o := range []dumptest.Flat{{Piece: 9}, {Piece: 5, Shuffle: 1, Overlap: true}, {Piece: 20, NoEnd: true}} {
		f.Add(dumptest.Flatten([]byte("the inner file is this text"), o)[4096:])
	}
	f.Fuzz(func(t *testing.T, records []byte) {
		stream := append(dumptest.Stream(nil, false), records...)
		flat, err := diskdump.Flatten(bytes.NewReader(stream), int64(len(stream)))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range flat.Problems() {
			if !phys.Damage(p) {
				t.Errorf("problem %v", p)
			}
		}
		b := make([]byte, 4096)
		for _, off := range []int64{0, flat.Size() - 100, flat.Size(), 1 << 62} {
			if n, err := flat.ReadAt(b, max(0, off)); n < len(b) && err == nil {
				t.Errorf("read of %d bytes at %d without an error", n, off)
			}
			if c := flat.Covered(max(0, off), 4096); c < 0 || c > 4096 {
				t.Errorf("covered %d at %d", c, off)
			}
		}
	})
}
