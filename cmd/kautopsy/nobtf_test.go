package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/kernel"
)

// TestWithoutBTF: on a kernel without BTF the answers are those by BTF when its vmlinux is
// named, and the second answer finds the index of the first.
func TestWithoutBTF(t *testing.T) {
	if testing.Short() {
		t.Skip("40 MB of DWARF in short mode")
	}
	dump := tiny(t, "vmcore.zlib")
	vmlinux := dumptest.Unpacked(t, "../../testdata/tiny/vmlinux.debug.xz")
	cache := t.TempDir()
	getenv := func(name string) string { return map[string]string{"XDG_CACHE_HOME": cache}[name] }
	for _, command := range []string{"ps", "bt --all", "log", "mod", "struct task_struct", "p jiffies_64", "files --all"} {
		words := strings.Fields(command)
		args := append([]string{words[0], dump}, words[1:]...)
		want := call(t, args...)
		env := &environment{ignoreBTF: true, getenv: getenv}
		got := callIn(t, env, append(args, "--vmlinux", vmlinux)...)
		if got.code != want.code || got.out != want.out || len(want.out) == 0 {
			t.Errorf("%s: exit %d by BTF, %d by DWARF: %s\n%s", command, want.code, got.code, got.err, firstDifference(want.out, got.out))
		}
	}
	// Beside the dump the vmlinux is found, elsewhere it is not.
	file, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	alone := filepath.Join(t.TempDir(), "vmcore")
	if err := os.WriteFile(alone, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if bare := callIn(t, &environment{ignoreBTF: true}, "ps", alone); bare.code != exitNone || !strings.Contains(bare.err, "no such type") {
		t.Errorf("ps without vmlinux: exit %d: %s", bare.code, bare.err)
	}
	if files, err := filepath.Glob(filepath.Join(cache, "kautopsy", "names", "*.names")); err != nil || len(files) != 1 {
		t.Errorf("indexes: %v, %v", files, err)
	}
}

// TestWithoutNames: of a kernel that names its functions only, or nothing, the answers are
// those of one that names everything when its vmlinux is beside the dump.
func TestWithoutNames(t *testing.T) {
	if testing.Short() {
		t.Skip("40 MB of DWARF in short mode")
	}
	dump := tiny(t, "vmcore.zlib")
	vmlinux := dumptest.Unpacked(t, "../../testdata/tiny/vmlinux.debug.xz")
	for _, command := range []string{"bt -a", "runq", "dev", "irq", "kmem -i"} {
		words := strings.Fields(command)
		args := append([]string{words[0], dump}, words[1:]...)
		args = append(args, "--vmlinux", vmlinux)
		want := call(t, args...)
		for _, k := range []kernel.Kallsyms{kernel.KallsymsFunctions, kernel.KallsymsNone} {
			got := callIn(t, &environment{kallsyms: k}, args...)
			if got.code != want.code || got.out != want.out || got.err != want.err || len(want.out) == 0 {
				t.Errorf("%s, kallsyms %d: exit %d, want %d: %s\n%s", command, k, got.code, want.code, got.err, firstDifference(want.out, got.out))
			}
		}
	}
	alone := filepath.Join(t.TempDir(), "vmcore")
	if err := os.Symlink(dump, alone); err != nil {
		t.Fatal(err)
	}
	bare := callIn(t, &environment{kallsyms: kernel.KallsymsFunctions}, "dev", alone)
	if bare.code != exitNone || !strings.Contains(bare.err, "its vmlinux names all") {
		t.Errorf("dev without vmlinux: exit %d: %s", bare.code, bare.err)
	}
}

// firstDifference is the first line in which two texts differ.
func firstDifference(a, b string) string {
	la, lb := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(la), len(lb)) {
		if la[i] != lb[i] {
			return la[i] + "\n" + lb[i]
		}
	}
	return "one is longer"
}
