package debuginfo_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols/debuginfo"
)

// A kernel and its build.
const (
	release = "6.1.0-56-amd64"
	id      = "721ba523aee7021d40001edd1e3ff5ceb9541d86"
	otherID = "00112233445566778899aabbccddeeff00112233"
	banner  = "Linux version 6.1.0-56-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0)) #1 SMP Debian 6.1.192-2"
)

func kernelWant() debuginfo.Want {
	return debuginfo.Want{Release: release, BuildID: id, Banner: banner + "\n"}
}

// write writes a file below dir and gives its path.
func write(t testing.TB, dir, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// finder makes a Finder that sees nothing of the machine it runs on.
func finder(t testing.TB, o debuginfo.Options) *debuginfo.Finder {
	t.Helper()
	if o.System == "" {
		o.System = filepath.Join(t.TempDir(), "none")
	}
	f := debuginfo.New(o)
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// content reads a file that was found, by both ways to it.
func content(t testing.TB, f *debuginfo.File) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size))
	if err != nil {
		t.Fatal(err)
	}
	named, err := os.ReadFile(f.Path)
	if err != nil || !bytes.Equal(named, b) {
		t.Errorf("%s and what is read differ: %v", f.Path, err)
	}
	return b
}

// TestPacked: a vmlinux in each packing and each kind of package is found by its build-id,
// byte for byte; with a cache a second Finder has it without unpacking.
func TestPacked(t *testing.T) {
	vmlinux := program{id: id, debug: 100_000}.build()
	ext4 := program{id: otherID, module: true, debug: 5000}.build()
	files := []file{
		{"usr/share/doc/readme", []byte("vmlinux")},
		{"usr/lib/debug/boot/vmlinux-" + release, vmlinux},
		{"usr/lib/debug/lib/modules/" + release + "/kernel/fs/ext4/ext4.ko.debug", ext4},
	}
	cases := map[string][]byte{"vmlinux.gz.xz": packers(t)[".xz"](packers(t)[".gz"](vmlinux))}
	for ending, pack := range packers(t) {
		cases["vmlinux"+ending] = pack(vmlinux)
		cases["dbg"+ending+".deb"] = debOf(t, files, ending)
		cases["debuginfo"+ending+".rpm"] = rpmOf(t, files, ending)
		inner := []file{{files[1].name + ending, pack(vmlinux)}}
		if ending == ".gz" || ending == ".xz" || ending == ".zst" {
			cases["inner"+ending+".ddeb"] = debOf(t, inner, "")
		}
	}
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			path := write(t, t.TempDir(), name, b)
			want := kernelWant()
			f, err := finder(t, debuginfo.Options{Files: []string{path}}).Find(t.Context(), want)
			if err != nil {
				t.Fatal(err)
			}
			if f.BuildID != id || f.Proof != "build-id" || !bytes.Equal(content(t, f), vmlinux) {
				t.Errorf("another file: %+v", f.Image)
			}
			o := debuginfo.Options{Files: []string{path}, Cache: filepath.Join(t.TempDir(), "cache")}
			progress := false
			again := o
			again.Progress = func(string, int64, int64) { progress = true }
			if _, err := finder(t, o).Find(t.Context(), want); err != nil {
				t.Fatal(err)
			}
			if f, err = finder(t, again).Find(t.Context(), want); err != nil || progress && name != "vmlinux" {
				t.Fatalf("with the cache: unpacked %v, %v", progress, err)
			}
			if !bytes.Equal(content(t, f), vmlinux) {
				t.Error("the cache has something else")
			}
			if strings.Contains(name, "deb") {
				if _, err := finder(t, o).Find(t.Context(), debuginfo.Want{Module: "e1000"}); !errors.Is(err, debuginfo.ErrNotFound) {
					t.Errorf("a module that the package does not list: %v", err)
				}
			}
		})
	}
}

// TestPackageModules: a package is read once for all modules of the dump.
func TestPackageModules(t *testing.T) {
	dir := "usr/lib/debug/lib/modules/" + release + "/kernel/"
	modules := map[string][]byte{}
	var files []file
	var wants []debuginfo.Want
	for i, name := range []string{"ext4", "virtio-net", "snd-hda-intel"} {
		mid := strings.Repeat(string(rune('a'+i)), 40)
		modules[strings.ReplaceAll(name, "-", "_")] = program{id: mid, module: true, debug: 800}.build()
		wants = append(wants, debuginfo.Want{Module: strings.ReplaceAll(name, "-", "_"), BuildID: mid, Release: release})
		files = append(files, file{dir + name + ".ko.debug", program{id: mid, module: true, debug: 800}.build()})
	}
	path := write(t, t.TempDir(), "dbg.deb", debOf(t, files, ".xz"))
	read := int64(0)
	f := finder(t, debuginfo.Options{
		Files: []string{path}, Cache: t.TempDir(), Modules: func() []debuginfo.Want { return wants },
		Progress: func(_ string, done, total int64) { read = max(read, done) },
	})
	for i, w := range wants {
		got, err := f.Find(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(content(t, got), modules[w.Module]) {
			t.Errorf("%s: another file", w.Module)
		}
		if i == 0 {
			if read == 0 {
				t.Error("no progress was told")
			}
			if err := os.WriteFile(path, nil, 0o600); err != nil { // gone: what was unpacked answers
				t.Fatal(err)
			}
			if err := os.WriteFile(path, debOf(t, files, ".xz"), 0o600); err != nil {
				t.Fatal(err)
			}
			read = 0
		}
	}
}

// TestOtherBuild: a file of another build is refused when it was named, passed over when it
// was met, and taken by force; both build-ids and the package are told.
func TestOtherBuild(t *testing.T) {
	right, wrong := program{id: id, debug: 800}.build(), program{id: otherID, debug: 800}.build()
	dir := t.TempDir()
	for name, b := range map[string][]byte{
		"vmlinux": wrong, "vmlinux.xz": packers(t)[".xz"](wrong),
		"x.deb": debOf(t, []file{{"boot/vmlinux-" + release, wrong}}, ".gz"),
	} {
		path := write(t, dir, name, b)
		_, err := finder(t, debuginfo.Options{Files: []string{path}}).Find(t.Context(), kernelWant())
		var other *debuginfo.OtherBuild
		if !errors.As(err, &other) || other.Found != otherID || other.Dump != id || other.What != "build-id" {
			t.Fatalf("%s: %v", name, err)
		}
		for _, part := range []string{id, otherID, "linux-image-" + release + "-dbg (Debian)", path} {
			if !strings.Contains(err.Error(), filepath.Base(part)) {
				t.Errorf("%s: %q is not told in %q", name, part, err)
			}
		}
		f, err := finder(t, debuginfo.Options{Files: []string{path}, Force: true}).Find(t.Context(), kernelWant())
		if err != nil || f.Forced == nil || f.BuildID != otherID {
			t.Errorf("%s: by force: %+v, %v", name, f, err)
		}
	}
	f := finder(t, debuginfo.Options{Dirs: []string{dir}})
	_, err := f.Find(t.Context(), kernelWant())
	var missing *debuginfo.Missing
	if !errors.As(err, &missing) || !errors.Is(err, debuginfo.ErrNotFound) || !strings.Contains(err.Error(), id) {
		t.Fatalf("a search that meets others: %v", err)
	}
	if len(missing.Trail) != 2 {
		t.Errorf("met: %+v", missing.Trail)
	}
	path := write(t, dir, "boot/vmlinux-"+release+".debug", right)
	f = finder(t, debuginfo.Options{Dirs: []string{dir}})
	got, err := f.Find(t.Context(), kernelWant())
	if err != nil || got.Path != path {
		t.Fatalf("beside others: %+v, %v", got, err)
	}
	trail := f.Trail()
	if len(trail) != 3 || trail[2].Err != nil || trail[0].Err == nil {
		t.Errorf("trail: %+v", trail)
	}
}

// TestPlaces: the layouts of the distributions, packed or not, by the dump's release; names
// without it only where somebody said so.
func TestPlaces(t *testing.T) {
	vmlinux := program{id: id, debug: 80}.build()
	ko := program{id: otherID, module: true, debug: 80}.build()
	module := debuginfo.Want{Module: "nf_tables", Release: release, BuildID: otherID}
	for _, c := range []struct {
		name string
		want debuginfo.Want
		data []byte
	}{
		{"usr/lib/debug/boot/vmlinux-" + release, kernelWant(), vmlinux},
		{"usr/lib/debug/boot/vmlinux-" + release + ".debug", kernelWant(), vmlinux},
		{"usr/lib/debug/lib/modules/" + release + "/vmlinux", kernelWant(), vmlinux},
		{"usr/lib/debug/usr/lib/modules/" + release + "/vmlinux", kernelWant(), vmlinux},
		{"usr/lib/debug/usr/lib/modules/" + release + "/vmlinux.debug", kernelWant(), vmlinux},
		{"usr/lib/debug/.build-id/72/" + id[2:] + ".debug", kernelWant(), vmlinux},
		{"boot/vmlinux-" + release + ".xz", kernelWant(), packers(t)[".xz"](vmlinux)},
		{"boot/vmlinux-" + release + ".gz", kernelWant(), packers(t)[".gz"](vmlinux)},
		{"lib/modules/" + release + "/build/vmlinux", kernelWant(), vmlinux},
		{release + "/vmlinux", kernelWant(), vmlinux},
		{"vmlinux-" + release, kernelWant(), vmlinux},
		{"usr/lib/debug/lib/modules/" + release + "/kernel/net/netfilter/nf_tables.ko", module, ko},
		{"usr/lib/debug/lib/modules/" + release + "/kernel/net/netfilter/nf_tables.ko.debug", module, ko},
		{"usr/lib/debug/usr/lib/modules/" + release + "/kernel/net/netfilter/nf-tables.ko.debug", module, ko},
		{"usr/lib/debug/lib/modules/" + release + "/updates/nf-tables.ko.zst", module, packers(t)[".zst"](ko)},
		{"lib/modules/" + release + "/extra/nf_tables.ko.xz", module, packers(t)[".xz"](ko)},
		{"usr/lib/debug/.build-id/00/" + otherID[2:] + ".debug", module, ko},
	} {
		root := t.TempDir()
		path := write(t, root, c.name, c.data)
		for _, o := range []debuginfo.Options{{System: root}, {Dirs: []string{root}}, {Beside: root}} {
			if strings.HasPrefix(c.name, "usr/lib/debug") && o.Beside != "" {
				o.Beside = filepath.Join(root, "usr/lib/debug")
			}
			f, err := finder(t, o).Find(t.Context(), c.want)
			if err != nil {
				t.Errorf("%s, %+v: %v", c.name, o, err)
				continue
			}
			if f.Origin != path && !strings.HasPrefix(f.Origin, filepath.Base(path)) {
				t.Errorf("%s: found %s", c.name, f.Origin)
			}
		}
		other := c.want
		other.Release, other.BuildID = "6.1.0-57-amd64", ""
		if f, err := finder(t, debuginfo.Options{System: root}).Find(t.Context(), other); err == nil {
			t.Errorf("%s was found for another release: %s", c.name, f.Origin)
		}
	}
	dir := t.TempDir()
	write(t, dir, "vmlinux", vmlinux)
	write(t, dir, "nf-tables.ko", ko)
	for _, w := range []debuginfo.Want{kernelWant(), module} {
		if _, err := finder(t, debuginfo.Options{Beside: dir}).Find(t.Context(), w); err != nil {
			t.Errorf("beside the dump: %v", err)
		}
		if _, err := finder(t, debuginfo.Options{System: dir}).Find(t.Context(), w); err == nil {
			t.Errorf("a %s of no release in a folder of the system was taken", w)
		}
	}
	write(t, dir, "secret", vmlinux)
	evil := kernelWant()
	evil.Release = "../../secret\x00"
	evil.BuildID = ""
	if f, err := finder(t, debuginfo.Options{System: dir}).Find(t.Context(), evil); err == nil {
		t.Errorf("a release that is a path led to %s", f.Path)
	}
}

// TestSUSE: the kernel in /boot is packed and without debug information, which is in
// /usr/lib/debug; named or not, one leads to the other.
func TestSUSE(t *testing.T) {
	want := debuginfo.Want{Release: "6.4.0-150600.23.7-default", BuildID: id}
	root := t.TempDir()
	debug := program{id: id, debug: 80}.build()
	path := write(t, root, "usr/lib/debug/boot/vmlinux-"+want.Release+".debug", debug)
	stripped := program{id: id, link: "vmlinux-" + want.Release + ".debug"}.build()
	for ending, pack := range packers(t) {
		boot := write(t, root, "boot/vmlinux-"+want.Release+ending, pack(stripped))
		f, err := finder(t, debuginfo.Options{System: root}).Find(t.Context(), want)
		if err != nil || f.Path != path {
			t.Errorf("beside %s: %+v, %v", boot, f, err)
		}
		if ending == ".mt" {
			continue // no name that a file of the kernel has
		}
		link := write(t, filepath.Dir(boot), ".debug/vmlinux-"+want.Release+".debug", debug)
		f, err = finder(t, debuginfo.Options{Files: []string{boot}, System: t.TempDir()}).Find(t.Context(), want)
		if err != nil || f.Path != link {
			t.Errorf("by %s: %+v, %v", boot, f, err)
		}
	}
}

// TestPackageSeek: files of a package before the one that is wanted are passed over without
// unpacking them where its blocks allow it: damage in them is not met.
func TestPackageSeek(t *testing.T) {
	want := debuginfo.Want{Module: "ext4", Release: release, BuildID: otherID}
	ko := program{id: otherID, module: true, debug: 800}.build()
	vmlinux := program{id: id, debug: 50_000}.build()
	name := "usr/lib/debug/lib/modules/" + release + "/kernel/fs/ext4/ext4.ko.debug"
	files := []file{{"usr/lib/debug/boot/vmlinux-" + release, vmlinux}, {name, ko}, {"usr/share/doc/readme", []byte("end")}}
	tar := tarOf(t, files)
	data := packers(t)[".mt"](tar)
	sum := binary.LittleEndian.AppendUint64(nil, crc64.Checksum(tar[20_000:21_000], crc64.MakeTable(crc64.ECMA)))
	at := bytes.Index(data, sum) // of a block in the midst of vmlinux
	if at < 0 {
		t.Fatal("the checksum of a block is not there")
	}
	data[at] ^= 1
	sums := fmt.Appendf(nil, "0  %s\n0  %s\n", files[0].name, name)
	path := write(t, t.TempDir(), "dbg.deb", arOf([]file{
		{"debian-binary", []byte("2.0\n")}, {"control.tar", tarOf(t, []file{{"md5sums", sums}})}, {"data.tar.xz", data},
	}))
	f, err := finder(t, debuginfo.Options{Files: []string{path}}).Find(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(content(t, f), ko) {
		t.Error("another file")
	}
	if _, err := finder(t, debuginfo.Options{Files: []string{path}}).Find(t.Context(), kernelWant()); !errors.Is(err, phys.ErrCorrupt) {
		t.Errorf("the damaged vmlinux: %v", err)
	}
}

// TestKilled: what is being unpacked has no name, so that nothing is left when nobody can
// clean up.
func TestKilled(t *testing.T) {
	cache := t.TempDir()
	path := write(t, t.TempDir(), "vmlinux.gz", packers(t)[".gz"](program{id: id, debug: 1 << 20}.build()))
	seen := 0
	f := finder(t, debuginfo.Options{Files: []string{path}, Cache: cache, Progress: func(string, int64, int64) {
		left, err := os.ReadDir(cache)
		if err != nil || len(left) > 0 {
			t.Errorf("while it is unpacked: %v, %v", left, err)
		}
		seen++
	}})
	if _, err := f.Find(t.Context(), kernelWant()); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(cache); err != nil || len(left) != 2 || seen == 0 { // the file, and where it is from
		t.Errorf("then: %v, %v; told %d times", left, err, seen)
	}
}

// TestPackageBeside: a package that lies beside the dump is found by the release in its name.
func TestPackageBeside(t *testing.T) {
	vmlinux := program{id: id, debug: 800}.build()
	for name, rel := range map[string]string{
		"linux-image-6.1.0-56-amd64-dbg_6.1.192-2_amd64.deb":                     release,
		"linux-image-unsigned-5.15.0-91-generic-dbgsym_5.15.0-91.101_amd64.ddeb": "5.15.0-91-generic",
		"kernel-debuginfo-5.14.0-362.8.1.el9_3.x86_64.rpm":                       "5.14.0-362.8.1.el9_3.x86_64",
		"kernel-default-debuginfo-5.14.21-150500.55.39.1.x86_64.rpm":             "5.14.21-150500.55.39-default",
	} {
		dir := t.TempDir()
		files := []file{{"usr/lib/debug/vmlinux-" + rel, vmlinux}}
		b := debOf(t, files, ".xz")
		if strings.HasSuffix(name, ".rpm") {
			b = rpmOf(t, files, ".zst")
		}
		write(t, dir, name, b)
		want := debuginfo.Want{Release: rel, BuildID: id}
		if _, err := finder(t, debuginfo.Options{Beside: dir}).Find(t.Context(), want); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestProofs: where a build-id is not known, the banner, the srcversion or the release
// decides; a build-id of VMCOREINFO yields to the banner.
func TestProofs(t *testing.T) {
	rodata := "\x01Linux version %s (%s)\n\x00" + strings.Repeat("\x00", 2<<20) + banner + "\n\x00%s version %s"
	modinfo := "license=GPL\x00srcversion=ABCDEF0123456789\x00vermagic=" + release + " SMP mod_unload\x00"
	ko := func(id string) []byte { return program{id: id, module: true, debug: 80, modinfo: modinfo}.build() }
	for _, c := range []struct {
		name  string
		data  []byte
		want  debuginfo.Want
		proof string // "!…": refused for that
	}{
		{"build-id", program{id: id, debug: 80}.build(), kernelWant(), "build-id"},
		{"no build-id in the dump", program{id: id, debug: 80, banner: rodata}.build(), debuginfo.Want{Banner: banner}, "banner"},
		{"no build-id in the file", program{debug: 80, banner: rodata}.build(), kernelWant(), "banner"},
		{"another banner", program{debug: 80, banner: rodata}.build(), debuginfo.Want{Banner: banner + "x"}, "!banner"},
		{"VMCOREINFO's is garbage", program{id: otherID, debug: 80, banner: rodata}.build(), debuginfo.Want{BuildID: id, Banner: banner, Doubtful: true}, "banner"},
		{"garbage, no banner in the file", program{id: otherID, debug: 80}.build(), debuginfo.Want{BuildID: id, Banner: banner, Doubtful: true}, "!build-id"},
		{"nothing known", program{debug: 80}.build(), debuginfo.Want{}, ""},
		{"srcversion", ko(""), debuginfo.Want{Module: "m", BuildID: id, SrcVersion: "ABCDEF0123456789"}, "srcversion"},
		{"another srcversion", ko(""), debuginfo.Want{Module: "m", SrcVersion: "F", Release: release}, "!srcversion"},
		{"vermagic", ko(id), debuginfo.Want{Module: "m", Release: release}, "vermagic"},
		{"another vermagic", ko(id), debuginfo.Want{Module: "m", Release: "6.1.0-57-amd64"}, "!vermagic"},
	} {
		dir := t.TempDir()
		name := "vmlinux"
		if c.want.Module != "" {
			name = "m.ko"
		}
		write(t, dir, name, c.data)
		f := finder(t, debuginfo.Options{Dirs: []string{dir}})
		got, err := f.Find(t.Context(), c.want)
		if what, refused := strings.CutPrefix(c.proof, "!"); refused {
			var other *debuginfo.OtherBuild
			if err == nil || !errors.As(f.Trail()[0].Err, &other) || other.What != what {
				t.Errorf("%s: %+v, %v", c.name, got, f.Trail())
			}
			continue
		}
		if err != nil || got.Proof != c.proof {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

// TestNoDebug: what was booted has no debug information; that it is the right kernel is told.
func TestNoDebug(t *testing.T) {
	stripped := program{id: id}.build()
	packed := packers(t)
	for name, b := range map[string][]byte{
		"vmlinux": stripped, "vmlinux.gz": packed[".gz"](stripped),
		"bzImage.gz": bzImageOf(packed[".gz"](stripped), len(stripped)), "bzImage.zst": bzImageOf(packed[".zst"](stripped), len(stripped)),
		"bzImage.xz": bzImageOf(packed[".xz"](stripped), len(stripped)), "bzImage.lzma": bzImageOf(packed[".lzma"](stripped), len(stripped)),
		"zboot": zbootOf(packed[".gz"](stripped)),
	} {
		path := write(t, t.TempDir(), name, b)
		_, err := finder(t, debuginfo.Options{Files: []string{path}, Cache: t.TempDir()}).Find(t.Context(), kernelWant())
		if !errors.Is(err, debuginfo.ErrNoDebug) || !strings.Contains(err.Error(), "linux-image-"+release+"-dbg") {
			t.Errorf("%s: %v", name, err)
		}
		other := kernelWant()
		other.BuildID = otherID
		var o *debuginfo.OtherBuild
		if _, err := finder(t, debuginfo.Options{Files: []string{path}}).Find(t.Context(), other); !errors.As(err, &o) || o.Found != id {
			t.Errorf("%s, of another build: %v", name, err)
		}
	}
	arm := make([]byte, 4096)
	copy(arm[0x38:], "ARM\x64")
	path := write(t, t.TempDir(), "Image.gz", packed[".gz"](arm))
	if _, err := finder(t, debuginfo.Options{Files: []string{path}}).Find(t.Context(), kernelWant()); !errors.Is(err, debuginfo.ErrNoDebug) {
		t.Errorf("an arm64 Image: %v", err)
	}
	for name, b := range map[string][]byte{
		"empty": nil, "text": []byte("hello, world"), "module": program{id: id, module: true, debug: 80}.build(),
		"lz4": []byte("\x02\x21\x4c\x18 packed"), "no kernel.deb": debOf(t, []file{{"boot/config", []byte("x")}}, ".gz"),
	} {
		path := write(t, t.TempDir(), name, b)
		if f, err := finder(t, debuginfo.Options{Files: []string{path}}).Find(t.Context(), kernelWant()); err == nil {
			t.Errorf("%s was taken as %s", name, f.Origin)
		}
	}
	for _, path := range []string{t.TempDir(), filepath.Join(t.TempDir(), "nosuch")} {
		if _, err := finder(t, debuginfo.Options{Files: []string{path}}).Find(t.Context(), kernelWant()); err == nil {
			t.Errorf("%s was taken", path)
		}
	}
}

// TestDebugLink: a stripped file names the one with its debug information.
func TestDebugLink(t *testing.T) {
	for _, place := range []string{"lib/modules/" + release + "/k.debug", "lib/modules/" + release + "/.debug/k.debug", "usr/lib/debug/ROOT/lib/modules/" + release + "/k.debug"} {
		root := t.TempDir()
		write(t, root, "lib/modules/"+release+"/vmlinux", program{id: id, link: "k.debug\x00"}.build())
		place = strings.Replace(place, "ROOT", root, 1)
		want := write(t, root, place, program{id: id, debug: 80}.build())
		f, err := finder(t, debuginfo.Options{System: root}).Find(t.Context(), kernelWant())
		if err != nil || f.Path != want {
			t.Errorf("%s: %+v, %v", place, f, err)
		}
		write(t, root, place, program{id: otherID, debug: 80}.build())
		if f, err := finder(t, debuginfo.Options{System: root}).Find(t.Context(), kernelWant()); err == nil {
			t.Errorf("%s of another build was taken: %s", place, f.Path)
		}
	}
}

// TestTogether: many ask one Finder, and many Finders use one cache.
func TestTogether(t *testing.T) {
	vmlinux := program{id: id, debug: 200_000}.build()
	path := write(t, t.TempDir(), "vmlinux.xz", packers(t)[".xz"](vmlinux))
	cache := t.TempDir()
	var wg sync.WaitGroup
	for range 4 {
		f := finder(t, debuginfo.Options{Files: []string{path}, Cache: cache})
		for range 4 {
			wg.Go(func() {
				got, err := f.Find(context.Background(), kernelWant())
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(io.NewSectionReader(got, 0, got.Size))
				if err != nil || !bytes.Equal(b, vmlinux) {
					t.Errorf("%d bytes, %v", len(b), err)
				}
			})
		}
	}
	wg.Wait()
	left, err := filepath.Glob(filepath.Join(cache, "new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the cache: %v, %v", left, err)
	}
}

// TestInterrupted: an unpacking that nobody waits for any more ends, leaves nothing, and
// can be asked for again.
func TestInterrupted(t *testing.T) {
	path := write(t, t.TempDir(), "vmlinux.gz", packers(t)[".gz"](program{id: id, debug: 100_000}.build()))
	cache := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := finder(t, debuginfo.Options{Files: []string{path}, Cache: cache})
	if _, err := f.Find(ctx, kernelWant()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(cache); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := f.Find(t.Context(), kernelWant()); err != nil {
		t.Errorf("asked again: %v", err)
	}
}

// TestCacheLimit: what was not used for longest goes first.
func TestCacheLimit(t *testing.T) {
	cache := t.TempDir()
	ids := []string{strings.Repeat("a", 40), strings.Repeat("b", 40), strings.Repeat("c", 40)}
	dir := t.TempDir()
	find := func(id string) {
		t.Helper()
		path := write(t, dir, id+".gz", packers(t)[".gz"](program{id: id, debug: 10_000}.build()))
		o := debuginfo.Options{Files: []string{path}, Cache: cache, CacheLimit: 25_000}
		if _, err := finder(t, o).Find(t.Context(), debuginfo.Want{BuildID: id}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids {
		find(id)
	}
	has := func(id string) bool {
		_, err := os.Stat(filepath.Join(cache, id+".debug"))
		return err == nil
	}
	if has(ids[0]) || !has(ids[1]) || !has(ids[2]) {
		t.Errorf("kept: %v %v %v", has(ids[0]), has(ids[1]), has(ids[2]))
	}
	// damaged: made anew
	if err := os.WriteFile(filepath.Join(cache, ids[2]+".debug"), []byte("\x7fELF"), 0o600); err != nil {
		t.Fatal(err)
	}
	find(ids[2])
}

// TestQuick: a search in a hurry unpacks nothing, and finds what was unpacked before.
func TestQuick(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "vmlinux.gz", packers(t)[".gz"](program{id: id, debug: 800}.build()))
	o := debuginfo.Options{Dirs: []string{dir}, Cache: t.TempDir(), Quick: true}
	for round, slow := range []bool{false, true, false} {
		o.Quick = !slow
		if _, err := finder(t, o).Find(t.Context(), kernelWant()); (err == nil) != (round > 0) {
			t.Errorf("round %d: %v", round, err)
		}
	}
}
