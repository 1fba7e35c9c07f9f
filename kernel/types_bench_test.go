package kernel_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// BenchmarkBTF asks the dump that everybody has, and those of distribution kernels. Their
// memory is in the page cache.
func BenchmarkBTF(b *testing.B) {
	dumps := []string{tiny + "/vmcore.zlib"}
	if dir := os.Getenv("KAUTOPSY_CORPUS"); dir != "" {
		for _, version := range []string{"5.10", "6.1", "6.12", "7.2"} {
			dumps = append(dumps, corpusDump(b, filepath.Join(dir, version, "vmcore.raw")))
		}
	}
	for _, name := range dumps {
		k := openKernel(b, name)
		b.Run(filepath.Base(filepath.Dir(name)), func(b *testing.B) {
			b.Run("open", func(b *testing.B) { benchOpenBTF(b, k) })
			b.Run("first name", func(b *testing.B) { benchFirstName(b, k) })
			b.Run("name", func(b *testing.B) { benchName(b, k) })
			b.Run("member", func(b *testing.B) { benchMember(b, k) })
			b.Run("read", func(b *testing.B) { benchRead(b, k) })
			b.Run("all", func(b *testing.B) { benchAll(b, k) })
			b.Run("kept", func(b *testing.B) { benchKept(b, k) })
		})
	}
}

// openBTF reads the types, which the kernel does not keep, and tells how many bytes they take.
func openBTF(b *testing.B, k *kernel.Kernel) (t *symbols.BTF, size int64) {
	b.Helper()
	start, err := k.Symbol("__start_BTF")
	if err != nil {
		b.Fatal(err)
	}
	end, err := k.Symbol("__stop_BTF")
	if err != nil {
		b.Fatal(err)
	}
	t, err = symbols.ReadBTF(k, symbols.ABI{}, start.Addr, end.Addr, nil)
	if err != nil {
		b.Fatal(err)
	}
	return t, int64(end.Addr - start.Addr)
}

func benchOpenBTF(b *testing.B, k *kernel.Kernel) {
	_, size := openBTF(b, k)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		openBTF(b, k)
	}
}

// benchFirstName makes the index of names and one type.
func benchFirstName(b *testing.B, k *kernel.Kernel) {
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		t, _ := openBTF(b, k)
		b.StartTimer()
		find(b, t, "struct task_struct")
	}
}

func benchName(b *testing.B, k *kernel.Kernel) {
	t, _ := openBTF(b, k)
	b.ReportAllocs()
	for b.Loop() {
		find(b, t, "struct task_struct")
	}
}

func benchMember(b *testing.B, k *kernel.Kernel) {
	t, _ := openBTF(b, k)
	task := find(b, t, "struct task_struct")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := task.Member("comm"); err != nil {
			b.Fatal(err)
		}
	}
}

// benchRead reads one member of one object from the dump.
func benchRead(b *testing.B, k *kernel.Kernel) {
	t, _ := openBTF(b, k)
	task, err := k.Global(t, "init_task")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := task.Int("pid"); err != nil {
			b.Fatal(err)
		}
	}
}

func benchAll(b *testing.B, k *kernel.Kernel) {
	t, size := openBTF(b, k)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range t.All() {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// benchKept tells what types take that were opened and asked for one name.
func benchKept(b *testing.B, k *kernel.Kernel) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	t, _ := openBTF(b, k)
	find(b, t, "struct task_struct")
	runtime.GC()
	runtime.ReadMemStats(&after)
	for b.Loop() {
		runtime.KeepAlive(t)
	}
	b.ReportMetric(float64(int64(after.HeapAlloc-before.HeapAlloc))/1e6, "MB")
}
