package kernel_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/kernel"
)

// TestCorpus compares the dumps of distribution kernels with what was recorded before they
// died.
func TestCorpus(t *testing.T) {
	dir := dumptest.Corpus(t)
	for _, version := range []string{"5.10", "6.1", "6.12", "7.2"} {
		t.Run(version, func(t *testing.T) {
			k := openKernel(t, dumptest.Unpacked(t, filepath.Join(dir, version, "vmcore.raw.xz")))
			tr := truth{t, filepath.Join(dir, version, "truth")}
			tr.all(k)
			compareTasks(t, k, tr.text("stat.txt"))
			if version == "6.1" {
				sameAsCrash(t, k, filepath.Join(dir, "crash-transcripts", "9.0.2"))
			}
		})
	}
}

// sameAsCrash compares the forms of the log with what crash prints of the same dump.
func sameAsCrash(t *testing.T, k *kernel.Kernel, dir string) {
	tr := truth{t, dir}
	for name, f := range map[string]kernel.Format{
		"log.txt":    {},
		"log_-T.txt": {Boot: bootTime(tr)},
		"log_-t.txt": {NoTime: true},
		"log_-m.txt": {Level: true},
		"log_-c.txt": {Caller: true},
		"log_-d.txt": {Dict: true},
	} {
		var got []byte
		for r, err := range k.Log(t.Context()) {
			if err != nil {
				t.Error(err)
			}
			got = f.Append(got, r)
		}
		if diff := cmp.Diff(tr.text(name), string(got)); diff != "" {
			t.Errorf("%s (-crash +kautopsy):\n%.2000s", name, diff)
		}
	}
}

// bootTime is the time of the first record of crash's log -T.
func bootTime(tr truth) time.Time {
	tr.Helper()
	stamp, _, _ := strings.Cut(strings.TrimPrefix(tr.text("log_-T.txt"), "["), "]")
	at, err := time.Parse("Mon Jan _2 15:04:05 MST 2006", stamp)
	if err != nil {
		tr.Fatal(err)
	}
	return at
}

// TestCorpusARM64: an ELF that QEMU wrote, without a crash path of its own. Its truth is
// what the guest said before the crash and its console afterwards.
func TestCorpusARM64(t *testing.T) {
	dir := filepath.Join(dumptest.Corpus(t), "arm64")
	k := openKernel(t, dumptest.Unpacked(t, filepath.Join(dir, "vmcore.elf.xz")))
	tr := truth{t, filepath.Join(dir, "truth")}
	log, err := k.LogText(t.Context())
	if err != nil {
		t.Error(err)
	}
	before := tr.text("dmesg.txt")
	if !strings.HasPrefix(string(log), before) {
		t.Errorf("log before the crash (-dmesg +kautopsy):\n%.2000s", cmp.Diff(before, string(log[:min(len(log), len(before))])))
	}
	_, oops, found := strings.Cut(strings.ReplaceAll(tr.text("console.txt"), "\r", ""), "sysrq: Trigger a crash\n")
	if oops = strings.TrimRight(oops, "\n"); !found || !strings.Contains(string(log), oops) {
		t.Errorf("the oops on the console is not in the log:\n%.1500s", oops)
	}
	tr.symbols(k)
	compareTasks(t, k, tr.text("stat.txt"))
	tr.modules(k)
	tr.buildID(k)
	tr.translation(k)
	sys := k.System(t.Context())
	tr.machine(sys)
	var missing []string
	for _, m := range sys.Missing {
		missing = append(missing, m.What)
	}
	if want := []string{"tasks"}; !slices.Equal(missing, want) { // its kallsyms has no variables, and nr_threads is not exported
		t.Errorf("missing %q, want %q", missing, want)
	}
}
