package kernel_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
)

// TestTiny compares the dump of a small 6.12 kernel with what was recorded before it died.
func TestTiny(t *testing.T) {
	truth{t, tiny + "/truth"}.all(openKernel(t, tiny+"/vmcore.zlib"))
}

// TestTinyContainers: every container of that dump says the same of the kernel. Text,
// types and unwind tables are erased in these.
func TestTinyContainers(t *testing.T) {
	names := []string{"vmcore.split.1", "vmcore.split.2", "vmcore.split.3", "vmcore.flat.xz"}
	if testing.Short() {
		names = names[1:2]
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			k := openKernel(t, dumptest.Unpacked(t, filepath.Join(tiny, name)))
			truth{t, tiny + "/truth"}.all(k)
			if !strings.Contains(string(k.Dump().Header.EraseInfo), "erase __start_BTF size ") {
				t.Errorf("eraseinfo %q", k.Dump().Header.EraseInfo)
			}
		})
	}
}

// TestTinyPart: one part of a split set alone has no kernel text, but it has the log as
// far as its pages go, and says what is lost.
func TestTinyPart(t *testing.T) {
	for _, name := range []string{"part2.lzo", "part2.snappy"} {
		file, err := os.ReadFile(filepath.Join(tiny, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ask(file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTinyTruncated cuts the real dump here and there.
func TestTinyTruncated(t *testing.T) {
	file, err := os.ReadFile(tiny + "/vmcore.zlib")
	if err != nil {
		t.Fatal(err)
	}
	step := 9
	if testing.Short() {
		step = 45
	}
	whole, err := ask(file)
	if err != nil || len(whole.lines) < 100 || len(whole.symbols) < 20000 {
		t.Fatalf("%d lines, %d symbols, %v", len(whole.lines), len(whole.symbols), err)
	}
	for percent := 1; percent < 100; percent += step {
		part, err := ask(file[:len(file)*percent/100])
		if err != nil {
			t.Errorf("cut at %d%%: %v", percent, err)
		}
		if s := part.invented(whole); s != "" {
			t.Errorf("cut at %d%%: says %q", percent, s)
		}
		t.Logf("cut at %d%%: %d lines, %d symbols", percent, len(part.lines), len(part.symbols))
	}
}
