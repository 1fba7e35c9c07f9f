package vmcore_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/vmcore"
)

// pythonWith finds a Python in PATH that has a module; without one the test is skipped.
func pythonWith(t *testing.T, module string) string {
	t.Helper()
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		python := filepath.Join(dir, "python3")
		if exec.Command(python, "-c", "import "+module).Run() == nil {
			return python
		}
	}
	t.Skipf("no python3 in PATH has the module %s", module)
	return ""
}

// sameAsLibkdumpfile compares every page of a dump, and some frames that have none, with
// what libkdumpfile reads.
func sameAsLibkdumpfile(t *testing.T, name string) {
	t.Helper()
	d := open(t, name, nil)
	var frames bytes.Buffer
	var ours []string
	b, read := make([]byte, d.PageSize()), 0
	for p := range d.MaxPFN() {
		n, err := d.ReadPhys(b, phys.PageSpan(p, 1, len(b)).Start)
		answer := "-"
		if sum := sha256.Sum256(b[:n]); err == nil {
			answer = hex.EncodeToString(sum[:])
			read++
		}
		if err == nil || p%64 == 0 {
			ours = append(ours, answer)
			fmt.Fprintln(&frames, uint64(p))
		}
	}
	asked := strings.Fields(frames.String())
	cmd := exec.Command(pythonWith(t, "kdumpfile"), "../testdata/peers/pages.py", name, fmt.Sprint(d.PageSize()))
	cmd.Stdin, cmd.Stderr = &frames, os.Stderr
	out, err := cmd.Output()
	theirs := strings.Fields(string(out))
	if err != nil || len(theirs) != len(ours) || read == 0 {
		t.Fatalf("%d answers for %d frames, %d are pages, %v", len(theirs), len(ours), read, err)
	}
	for i := range ours {
		if ours[i] != theirs[i] {
			t.Fatalf("page %s: %s, libkdumpfile reads %s", asked[i], ours[i], theirs[i])
		}
	}
	t.Logf("%d of %d pages, all as libkdumpfile reads them", read, d.MaxPFN())
}

// TestLibkdumpfile: a second reader of the format, which is not ours, reads the same.
func TestLibkdumpfile(t *testing.T) {
	if testing.Short() {
		t.Skip("short: three dumps for another program")
	}
	for _, name := range []string{"vmcore.zlib", "part2.lzo", "part2.snappy"} {
		t.Run(name, func(t *testing.T) { sameAsLibkdumpfile(t, tiny+name) })
	}
}

// TestLibkdumpfileCodecs writes a piece of the real memory in each codec. Flattened streams
// libkdumpfile 0.5.1 does not read.
func TestLibkdumpfileCodecs(t *testing.T) {
	if testing.Short() {
		t.Skip("short: six dumps for another program")
	}
	m := &dumptest.Image{PageSize: 4096}
	for page, err := range open(t, tiny+"vmcore.zlib", nil).Pages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if page.PFN%7 == 0 {
			m.Set(page.PFN, bytes.Clone(page.Data))
		}
	}
	for _, codec := range append(dumptest.Codecs(), dumptest.Mixed) {
		t.Run(string(codec), func(t *testing.T) {
			o := dumptest.DefaultKDUMP()
			o.Codec = codec
			file, err := m.KDUMP(o)
			if err != nil {
				t.Fatal(err)
			}
			sameAsLibkdumpfile(t, write(t, t.TempDir(), "vmcore", file))
		})
	}
}

// TestLibkdumpfileConverted: what we write, it reads as we do; 32-bit machines and
// big-endian ones have layouts of their own. In ELF files it takes for zero what is left out.
func TestLibkdumpfileConverted(t *testing.T) {
	if testing.Short() {
		t.Skip("short: dumps for another program")
	}
	names := []string{tiny + "vmcore.zlib"}
	if dir := os.Getenv("KAUTOPSY_CORPUS"); dir != "" {
		for _, machine := range []string{"arm", "i386", "rv32", "ppc64", "s390x"} {
			names = append(names, filepath.Join(dir, "qemu", machine+".kdump-zlib"))
		}
	}
	for _, name := range names {
		d := open(t, name, nil)
		for _, codec := range []string{"none", "lzo"} {
			t.Run(filepath.Base(name)+"/"+codec, func(t *testing.T) {
				o := convert(t, d, vmcore.Conversion{Format: "kdump", Codec: codec}, 1, false)
				sameAsLibkdumpfile(t, o.names[0])
			})
		}
	}
}

// TestMakedumpfileConverted: makedumpfile filters what we write, as it does its own. Debian's knows
// neither snappy nor zstd.
func TestMakedumpfileConverted(t *testing.T) {
	from := open(t, tiny+"vmcore.zlib", nil)
	for _, c := range targets() {
		if c.Codec != "snappy" && c.Codec != "zstd" && (c.Format == "elf" || !testing.Short()) {
			t.Run(c.Format+c.Codec, func(t *testing.T) {
				refiltered(t, convert(t, from, c, 1, false).names[0], t.TempDir())
			})
		}
	}
}

// overfiltered are pages of a newer kernel that an older makedumpfile takes for user data.
func overfiltered(t *testing.T, truth string) map[phys.PFN]bool {
	t.Helper()
	out := map[phys.PFN]bool{}
	list, err := os.ReadFile(filepath.Join(truth, "overfiltered.pfns"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(list)) { // "0x1045-0x1046 2"
		var first, last phys.PFN
		if _, err := fmt.Sscanf(line, "%v-%v", &first, &last); err != nil {
			t.Fatal(err)
		}
		for p := first; p <= last; p++ {
			out[p] = true
		}
	}
	return out
}

// sameBut compares all pages of two dumps; those in but may be excluded from the second.
func sameBut(t *testing.T, want map[phys.PFN][]byte, d *vmcore.Dump, but map[phys.PFN]bool) {
	t.Helper()
	got := readAll(t, d)
	for p, b := range want {
		if g, ok := got[p]; ok && !bytes.Equal(g, b) || !ok && !but[p] {
			t.Fatalf("page %#x: %d bytes, or other ones", uint64(p), len(g))
		}
	}
	t.Logf("%d of %d pages, the others filtered for user data", len(got), len(want))
	if len(got) > len(want) || len(want)-len(got) > len(but) {
		t.Errorf("%d pages, want %d", len(got), len(want))
	}
}

// refiltered lets makedumpfile make other containers of a dump, which must hold the same.
func refiltered(t *testing.T, name, truth string) {
	makedumpfile, err := exec.LookPath("makedumpfile")
	if err != nil {
		t.Skip("makedumpfile is not in PATH")
	}
	want, but := readAll(t, open(t, name, nil)), overfiltered(t, truth)
	dir := t.TempDir()
	tests := []struct {
		name string
		args []string
		outs []string
	}{
		{"zlib", []string{"-c", "-d", "1", name}, []string{"vmcore.zlib"}},
		{"lzo", []string{"-l", "-d", "1", name}, []string{"vmcore.lzo"}},
		{"split", []string{"--split", "--splitblock-size", "4096", "-l", "-d", "1", name}, []string{"vmcore.1", "vmcore.2", "vmcore.3"}},
		{"flattened", []string{"-F", "-l", "-d", "1", name}, nil},
	}
	for _, tt := range tests {
		first := filepath.Join(dir, "vmcore.flat")
		for i, out := range tt.outs {
			tt.outs[i] = filepath.Join(dir, out)
			first = tt.outs[0]
		}
		stdout, err := exec.Command(makedumpfile, append(tt.args, tt.outs...)...).Output()
		if err != nil {
			t.Errorf("%s: makedumpfile: %v\n%.500s", tt.name, err, stdout)
			continue
		}
		if tt.outs == nil {
			first = write(t, dir, "vmcore.flat", stdout)
		}
		d, err := vmcore.Open(first, nil)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		sameBut(t, want, d, but)
		if d.Header.Parts != max(1, len(tt.outs)) || d.Header.Flattened != (tt.outs == nil) {
			t.Errorf("%s: %d parts, flattened %t", tt.name, d.Header.Parts, d.Header.Flattened)
		}
		d.Close()
	}
}
