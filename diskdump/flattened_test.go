package diskdump_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/kautopsy/kautopsy/diskdump"
	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
)

func flatten(t testing.TB, stream []byte) *diskdump.Flat {
	t.Helper()
	f, err := diskdump.Flatten(bytes.NewReader(stream), int64(len(stream)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// replay is what a stream's writes leave in a file: the last write wins, gaps are zero.
func replay(records []dumptest.Record) (file []byte) {
	for _, r := range records {
		if end := int(r.Off) + len(r.Data); end > len(file) {
			file = append(file, make([]byte, end-len(file))...)
		}
		copy(file[r.Off:], r.Data)
	}
	return file
}

// writes are random records: overlapping, touching, nested, far apart.
func writes(r *rand.Rand) (records []dumptest.Record) {
	for range 1 + r.IntN(30) {
		data := make([]byte, 1+r.IntN(200))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		records = append(records, dumptest.Record{Off: r.Int64N(2000), Data: data})
	}
	return records
}

// TestFlatten compares the stream with a file that its writes were replayed into, in
// every read.
func TestFlatten(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 15))
	for range 300 {
		records := writes(r)
		want := replay(records)
		f := flatten(t, dumptest.Stream(records, true))
		if f.Size() != int64(len(want)) || f.Truncated() || len(f.Problems()) != 0 {
			t.Fatalf("size %d, want %d; %v", f.Size(), len(want), f.Problems())
		}
		if err := iotest.TestReader(io.NewSectionReader(f, 0, f.Size()), want); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			sameRead(t, f, want, r.Int64N(int64(len(want))+10), r.IntN(300))
		}
	}
}

// sameRead compares one ReadAt with the file.
func sameRead(t *testing.T, f io.ReaderAt, file []byte, off int64, n int) {
	t.Helper()
	got, want := make([]byte, n), make([]byte, n)
	gotN, gotErr := f.ReadAt(got, off)
	wantN, wantErr := bytes.NewReader(file).ReadAt(want, off)
	if n == 0 {
		return
	}
	if gotN != wantN || !errors.Is(gotErr, wantErr) || !bytes.Equal(got, want) {
		t.Fatalf("read of %d at %d: %d, %v, want %d, %v", n, off, gotN, gotErr, wantN, wantErr)
	}
}

// TestFlattenCut cuts a stream at every byte: what is there is what the writes so far
// left, and Covered never claims more.
func TestFlattenCut(t *testing.T) {
	records := []dumptest.Record{
		{Off: 100, Data: bytes.Repeat([]byte{1}, 50)},
		{Off: 0, Data: bytes.Repeat([]byte{2}, 40)},
		{Off: 120, Data: bytes.Repeat([]byte{3}, 90)},
		{Off: 40, Data: bytes.Repeat([]byte{4}, 60)},
		{Off: 30, Data: bytes.Repeat([]byte{5}, 20)},
	}
	stream := dumptest.Stream(records, true)
	for n := 4096; n < len(stream); n++ {
		f := flatten(t, stream[:n])
		if !f.Truncated() || len(f.Problems()) != 1 || !errors.Is(f.Problems()[0], phys.ErrLost) {
			t.Fatalf("cut at %d: %v", n, f.Problems())
		}
		checkCovered(t, f, cut(records, n-4096))
	}
}

// cut gives the records of the first n bytes behind the stream's header.
func cut(records []dumptest.Record, n int) (out []dumptest.Record) {
	for _, r := range records {
		if n -= 16; n <= 0 {
			return out
		}
		data := r.Data[:min(n, len(r.Data))]
		out = append(out, dumptest.Record{Off: r.Off, Data: data})
		n -= len(data)
	}
	return out
}

// checkCovered compares content and coverage with a byte map.
func checkCovered(t *testing.T, f *diskdump.Flat, records []dumptest.Record) {
	t.Helper()
	want := replay(records)
	got := make([]byte, f.Size())
	if _, err := f.ReadAt(got, 0); err != nil && len(got) > 0 || !bytes.Equal(got, want) {
		t.Fatalf("holds %x, want %x", got, want)
	}
	written := make([]bool, len(want)+20)
	for _, r := range records {
		for i := range r.Data {
			written[r.Off+int64(i)] = true
		}
	}
	for off := range written {
		n := 0
		for off+n < len(written) && n < 15 && written[off+n] {
			n++
		}
		if got := f.Covered(int64(off), 15); got != int64(n) {
			t.Fatalf("covered from %d: %d, want %d", off, got, n)
		}
	}
}

// TestFlattenBad: what a stream can have wrong, and how far it is read then.
func TestFlattenBad(t *testing.T) {
	good := dumptest.Record{Off: 10, Data: []byte("good")}
	record := func(off, n uint64) []byte {
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, off), n)
	}
	tests := []struct {
		name string
		tail []byte
		want error
	}{
		{"end mark", record(1<<64-1, 1<<64-1), nil},
		{"end mark, then garbage", append(record(1<<64-1, 1<<64-1), "Connection closed.\n"...), nil},
		{"no end mark", nil, phys.ErrLost},
		{"half an end mark", record(1<<64-1, 1<<64-1)[:9], phys.ErrLost},
		{"negative offset", record(1<<64-5, 3), phys.ErrCorrupt},
		{"offset -1 alone", record(1<<64-1, 3), phys.ErrCorrupt},
		{"negative size", record(3, 1<<63), phys.ErrCorrupt},
		{"no size", record(3, 0), phys.ErrCorrupt},
		{"overflow", record(1<<63-2, 1<<62), phys.ErrCorrupt},
		{"longer than the file", record(3, 1<<40), phys.ErrLost},
	}
	for _, tt := range tests {
		f := flatten(t, append(dumptest.Stream([]dumptest.Record{good}, false), tt.tail...))
		if f.Truncated() != (tt.want != nil) {
			t.Errorf("%s: truncated %v", tt.name, f.Truncated())
		}
		for _, p := range f.Problems() {
			if !errors.Is(p, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, p, tt.want)
			}
		}
		b := make([]byte, 14)
		if n, err := f.ReadAt(b, 0); n != 14 || err != nil || string(b[10:]) != "good" {
			t.Errorf("%s: read %q, %v", tt.name, b[:n], err)
		}
	}
}

// TestFlattenHeader: type and version are 1, in big-endian order.
func TestFlattenHeader(t *testing.T) {
	stream := dumptest.Stream([]dumptest.Record{{Data: []byte("x")}}, true)
	for at, want := range map[int]error{0: phys.ErrUnsupported, 12: phys.ErrUnsupported, 23: phys.ErrUnsupported, 31: phys.ErrUnsupported, 40: nil} {
		b := bytes.Clone(stream)
		b[at] ^= 2
		if _, err := diskdump.Flatten(bytes.NewReader(b), int64(len(b))); !errors.Is(err, want) {
			t.Errorf("byte %d changed: %v, want %v", at, err, want)
		}
	}
	for n := range 32 {
		if _, err := diskdump.Flatten(bytes.NewReader(stream), int64(n)); !errors.Is(err, phys.ErrLost) {
			t.Errorf("%d bytes of header: %v", n, err)
		}
	}
}

// TestFlattenBig: records of one byte are the worst case of the index.
func TestFlattenBig(t *testing.T) {
	file := dumptest.Random(20000, 1)
	for _, o := range []dumptest.Flat{{Piece: 1}, {Piece: 1, Shuffle: 1}, {Piece: 3, Shuffle: 2, Overlap: true}} {
		sameRead(t, flatten(t, dumptest.Flatten(file, o)), file, 0, len(file))
	}
}

// TestCompleteShuffled: the end of the file may come first in a stream, and what is missing
// be in the middle.
func TestCompleteShuffled(t *testing.T) {
	stream := fileOf(t, spread+"\nflat shuffle 4")
	if err := openBytes(t, stream).Complete(); err != nil {
		t.Error(err)
	}
	for n := len(stream) / 2; n < len(stream)-64; n += 1000 {
		f, err := openFile(stream[:n])
		if err != nil {
			continue
		}
		if err := f.Complete(); !errors.Is(err, phys.ErrLost) {
			t.Errorf("cut at %d of %d: %v", n, len(stream), err)
		}
	}
}

// TestFlattenAllocs: the index takes memory by doubling, not for each record.
func TestFlattenAllocs(t *testing.T) {
	stream := dumptest.Flatten(make([]byte, 4<<20), dumptest.Flat{Shuffle: 1, Piece: 512, Overlap: true})
	n := testing.AllocsPerRun(3, func() {
		if _, err := diskdump.Flatten(bytes.NewReader(stream), int64(len(stream))); err != nil {
			t.Error(err)
		}
	})
	if n > 200 {
		t.Errorf("%.0f allocations for %d records", n, 2*4<<20/512)
	}
}
