package kernel_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/vmcore"
)

// fuzzTime bounds what one input may take; a real dump of that size takes milliseconds.
const fuzzTime = 20 * time.Second

// FuzzOpen opens anything, asks what there is of a kernel in it, and looks at each answer:
// no panic, no hang, and a reason behind every refusal.
func FuzzOpen(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if len(file) > 1<<20 {
			return
		}
		start := time.Now()
		if _, err := ask(file); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > fuzzTime {
			t.Errorf("%d bytes took %v", len(file), d)
		}
	})
}

// seeds are dumps of every container and of each of the three logs.
func seeds(f *testing.F) (files [][]byte) {
	newest := newMachine(f)
	withBanner(newest)
	records := newMachine(f)
	l := newLogBuf(records, "printk_log", 20, 1<<12)
	for i := range 40 {
		l.add(line{ns: uint64(i), text: "a record"}, "SUBSYSTEM=pci\x00DEVICE=+pci:0")
	}
	chars := newMachine(f)
	byteRing(chars, 1024, 60, 60, "<6>[    1.000000] a line\n")
	for _, m := range []*machine{newest, records, chars} {
		files = append(files, m.file())
	}
	return append(files, dumptest.Flatten(records.file(), dumptest.Flat{Piece: 2000, Shuffle: 3}))
}

// FuzzLog reads logs of memory that anything may have written to: eight bytes at a time at
// any place of the pages that hold the ring and what describes it.
func FuzzLog(f *testing.F) {
	f.Add(uint16(0), uint32(0), uint64(0))
	f.Add(uint16(1), uint32(24), uint64(1<<63))
	f.Add(uint16(2), uint32(4096), ^uint64(0))
	var machines []*machine
	for _, seed := range []func() *machine{
		func() *machine { m := newMachine(f); numbered(newPRB(m, prb7x, 4, 12, 1<<62-7), 30); return m },
		func() *machine {
			m := newMachine(f)
			l := newLogBuf(m, "printk_log", 20, 1<<12)
			for i := range 100 {
				l.add(line{ns: uint64(i), text: "a record"}, "A=b")
			}
			return m
		},
		func() *machine {
			m := newMachine(f)
			byteRing(m, 4096, 100, 50, "<6>[    1.000000] a line\n")
			return m
		},
	} {
		machines = append(machines, seed())
	}
	f.Fuzz(func(t *testing.T, which uint16, at uint32, v uint64) {
		m := machines[int(which)%len(machines)]
		pfns := m.image.PFNs()
		page := m.image.Pages[pfns[int(at)/pageSize%len(pfns)]]
		place := page[at%pageSize&^7:][:8]
		was := bytes.Clone(place)
		m.order.PutUint64(place, v)
		defer copy(place, was)
		file := m.rawFile()
		d, err := vmcore.New(bytes.NewReader(file), int64(len(file)), nil)
		if err != nil {
			t.Fatal(err)
		}
		logOf(t, d)
	})
}

// logOf walks a log to its end and uses every record.
func logOf(t *testing.T, d *vmcore.Dump) {
	ctx, cancel := context.WithTimeout(context.Background(), fuzzTime)
	defer cancel()
	k, err := kernel.Open(d, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for r, err := range k.Log(ctx) {
		if errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if err := reasoned(err); err != nil {
			t.Error(err)
		}
		b = kernel.Format{Level: true, Caller: true, Dict: true}.Append(b[:0], r)
		if len(b) < 2 {
			t.Errorf("record %+v prints as %q", r, b)
		}
	}
}

// BenchmarkLog prints the log of a real dump.
func BenchmarkLog(b *testing.B) {
	file, err := os.ReadFile(tiny + "/vmcore.zlib")
	if err != nil {
		b.Fatal(err)
	}
	k, err := kernel.Open(openDump(b, file), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(14439)
	b.ReportAllocs()
	for b.Loop() {
		if text, err := k.LogText(b.Context()); len(text) != 14439 || err != nil {
			b.Fatal(len(text), err)
		}
	}
}
