package debuginfo

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// Where distributions put a kernel's debug information, R being its release:
//
//	Debian    /usr/lib/debug/boot/vmlinux-R, /usr/lib/debug/lib/modules/R/vmlinux, …/kernel/**.ko
//	Ubuntu    /usr/lib/debug/boot/vmlinux-R, /usr/lib/debug/lib/modules/R/kernel/**.ko[.zst]
//	Fedora    /usr/lib/debug/lib/modules/R/vmlinux, …/kernel/**.ko.debug; from the usr merge on
//	          /usr/lib/debug/usr/lib/modules/R/…
//	SUSE      /usr/lib/debug/boot/vmlinux-R.debug, /usr/lib/debug/usr/lib/modules/R/vmlinux.debug
//	own       /lib/modules/R/build/vmlinux
//	all       /usr/lib/debug/.build-id/xx/yyyy.debug

// releaseDirs are the folders of a release below a root.
var releaseDirs = []string{"lib/modules/R", "usr/lib/modules/R", "R"}

// kernelNames are where a vmlinux lies below a root.
var kernelNames = []string{
	"lib/modules/R/vmlinux", "usr/lib/modules/R/vmlinux", "boot/vmlinux-R", "vmlinux-R", "R/vmlinux",
	"lib/modules/R/build/vmlinux", "usr/lib/modules/R/build/vmlinux",
}

// Endings of a name: debug information apart from its program, and packed files.
var (
	debugEndings  = []string{"", ".debug"}
	packedEndings = []string{"", ".xz", ".zst", ".gz", ".bz2"}
)

// root is a folder that is searched.
type root struct {
	dir   string
	given bool // somebody named it: files without a release in their names count, and packages
}

// roots are the folders that are searched, in this order: what was named, beside the dump,
// and this system's.
func (o *Options) roots() (list []root) {
	for _, d := range o.Dirs {
		list = append(list, root{d, true}, root{filepath.Join(d, "usr/lib/debug"), false})
	}
	for _, file := range o.Files {
		if _, ko := moduleFile(filepath.Base(file)); ko {
			continue
		}
		list = append(list, root{filepath.Dir(file), true})
		if tree, _, ok := strings.Cut(filepath.ToSlash(file), "/usr/lib/debug/"); ok {
			list = append(list, root{tree + "/usr/lib/debug", false})
		}
	}
	if o.Beside != "" {
		list = append(list, root{o.Beside, true})
	}
	for _, d := range []string{"usr/lib/debug", ""} {
		list = append(list, root{filepath.Join(o.System, d), false})
	}
	return list
}

// place puts a release into a pattern. A release that is no plain name, as a damaged dump
// may have, has no place.
func place(r root, pattern, release string) string {
	if strings.ContainsRune(pattern, 'R') {
		if release == "" || release == "." || release == ".." || strings.ContainsAny(release, "/\x00") {
			return ""
		}
		pattern = strings.Replace(pattern, "R", release, 1)
	}
	return filepath.Join(r.dir, pattern)
}

// kernelPlaces are the files that may be the vmlinux of a kernel.
func kernelPlaces(r root, w *Want) (list []string) {
	names := kernelNames
	if r.given {
		names = append([]string{"vmlinux"}, names...)
	}
	for _, n := range names {
		p := place(r, n, w.Release)
		if p == "" {
			continue
		}
		for _, d := range debugEndings {
			for _, packed := range packedEndings {
				list = append(list, p+d+packed)
			}
		}
	}
	return list
}

// buildIDPlaces are where a file lies by its build-id.
func buildIDPlaces(r root, id string) []string {
	if len(id) < 3 {
		return nil
	}
	base := filepath.Join(r.dir, ".build-id", id[:2], id[2:])
	return []string{base + ".debug", base}
}

// modulePlaces are the files of a module, those with debug information alone first.
func (f *Finder) modulePlaces(r root, w *Want) (list []string) {
	if r.given {
		list = append(list, f.modules(r.dir, false)[moduleName(w.Module)]...)
	}
	for _, d := range releaseDirs {
		if p := place(r, d, w.Release); p != "" {
			list = append(list, f.modules(p, true)[moduleName(w.Module)]...)
		}
	}
	slices.SortStableFunc(list, func(a, b string) int {
		return strings.Count(filepath.Base(b), ".debug") - strings.Count(filepath.Base(a), ".debug")
	})
	return list
}

// maxEntries bounds the walk through a folder of modules.
const maxEntries = 200_000

// modules lists the module files of a folder by the modules' names, and of those below it
// when deep. A folder is read once.
func (f *Finder) modules(dir string, deep bool) map[string][]string {
	key := root{dir, deep}
	if known, ok := f.dirs[key]; ok {
		return known
	}
	list, left := make(map[string][]string), maxEntries
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error { //nolint:errcheck // what can be read counts
		left--
		switch {
		case left < 0:
			return filepath.SkipAll
		case err != nil:
			return nil
		case d.IsDir() && path != dir && (!deep || d.Name() == "build" || d.Name() == "source"):
			return filepath.SkipDir
		case !d.IsDir():
			if name, ok := moduleFile(d.Name()); ok {
				list[name] = append(list[name], path)
			}
		}
		return nil
	})
	f.dirs[key] = list
	return list
}

// moduleName is how the kernel writes a module's name: in files - stands for _ at will.
func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

// moduleFile tells which module a file is of: ext4.ko, ext4.ko.debug, ext4.ko.xz.
func moduleFile(base string) (name string, ok bool) {
	base, ok = strings.CutSuffix(strings.TrimSuffix(unpackedName(base), ".debug"), ".ko")
	return moduleName(base), ok
}

// kernelFile tells whether a file in a package has the name of a vmlinux.
func kernelFile(base string) bool {
	base = strings.TrimSuffix(unpackedName(base), ".debug")
	return base == "vmlinux" || strings.HasPrefix(base, "vmlinux-")
}

// unpackedName takes the ending of a packed file away.
func unpackedName(base string) string {
	for _, e := range packedEndings {
		if e != "" && strings.HasSuffix(base, e) {
			return strings.TrimSuffix(base, e)
		}
	}
	return base
}

// packagePlaces are the packages in a folder that may have the kernel's debug information,
// by their names.
func packagePlaces(r root, w *Want) (list []string) {
	if !r.given || w.Release == "" {
		return nil
	}
	version := w.Release
	if i := strings.LastIndexByte(version, '-'); i > 0 && strings.HasSuffix(version, "-default") {
		version = version[:i]
	}
	for _, ending := range []string{"*.deb", "*.ddeb", "*.rpm"} {
		found, _ := filepath.Glob(filepath.Join(escapeGlob(r.dir), ending))
		for _, p := range found {
			base := filepath.Base(p)
			if strings.Contains(base, version) && (strings.Contains(base, "dbg") || strings.Contains(base, "debug")) {
				list = append(list, p)
			}
		}
	}
	return list
}

// escapeGlob keeps a folder's name from being taken for a pattern.
func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}
