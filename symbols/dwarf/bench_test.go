package dwarf_test

import (
	"os"
	"testing"

	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// vmlinux is the name of a kernel's file: that of KAUTOPSY_VMLINUX, else of the small one.
func vmlinux(b *testing.B) string {
	if name := os.Getenv("KAUTOPSY_VMLINUX"); name != "" {
		return name
	}
	_, name := open(b, "vmlinux.debug.xz")
	return name
}

// BenchmarkEntries walks over every entry of a kernel; bytes are those of .debug_info.
func BenchmarkEntries(b *testing.B) {
	f := openFile(b, vmlinux(b))
	var e dwarf.Entries
	entries, bytes := 0, int64(0)
	for b.Loop() {
		entries, bytes = 0, 0
		for u, err := range f.Units() {
			if err != nil {
				b.Fatal(err)
			}
			if err := e.Reset(u); err != nil {
				b.Fatal(err)
			}
			for e.Next() {
				entries++
			}
			if e.Err() != nil {
				b.Fatal(e.Err())
			}
			bytes = u.End
		}
	}
	b.SetBytes(bytes)
	b.ReportAllocs()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(entries), "ns/entry")
}

// BenchmarkFirstLine opens a kernel's file and finds one line.
func BenchmarkFirstLine(b *testing.B) {
	name := vmlinux(b)
	var addr uint64
	for s, err := range openFile(b, name).Symbols() {
		if err != nil {
			b.Fatal(err)
		}
		if s.Name == "__crash_kexec" || s.Name == "panic" {
			addr = s.Addr + s.Size/2
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := os.Open(name)
		if err != nil {
			b.Fatal(err)
		}
		st, err := r.Stat()
		if err != nil {
			b.Fatal(err)
		}
		f, err := dwarf.Open(r, st.Size())
		if err != nil {
			b.Fatal(err)
		}
		chain, err := f.Source(addr)
		if err != nil || chain[0].Line == 0 {
			b.Fatalf("%+v, %v", chain, err)
		}
		f.Close()
		r.Close()
	}
}

// BenchmarkLine finds lines of code in units that were touched before.
func BenchmarkLine(b *testing.B) {
	f := openFile(b, vmlinux(b))
	var addrs []uint64
	for s, err := range f.Symbols() {
		if err != nil {
			b.Fatal(err)
		}
		if s.Type == 2 && s.Size > 64 && len(addrs) < 64 { // STT_FUNC
			addrs = append(addrs, s.Addr+s.Size/2)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		chain, err := f.Source(addrs[i%len(addrs)])
		if err != nil || len(chain) == 0 {
			b.Fatalf("%#x: %v", addrs[i%len(addrs)], err)
		}
		i++
	}
}
