package debuginfo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// Want is what debug information is looked for.
type Want struct {
	Module  string // its name; "" is the kernel itself
	Release string // of the dump's kernel, as uname -r; "" if unknown
	BuildID string // in hexadecimal; "" if the dump does not know it

	// Doubtful: BuildID was not read from the kernel's notes in memory but from
	// VMCOREINFO, where some kernels wrote garbage. Then an equal Banner is enough.
	Doubtful   bool
	Banner     string // linux_banner in the dump's memory, "" if unknown
	SrcVersion string // of a module, "" if unknown
}

// String names what is wanted: "vmlinux of 6.1.0-56-amd64", "module ext4".
func (w Want) String() string {
	switch {
	case w.Module != "":
		return "module " + w.Module
	case w.Release != "":
		return "vmlinux of " + w.Release
	}
	return "vmlinux"
}

// Options say where a Finder looks. The zero value looks where this system keeps debug
// information, keeps nothing, and reaches out to nobody.
type Options struct {
	// Files are a vmlinux, packed or not, .ko files, and packages. What they have
	// decides: where one of them fits by its name and not by its build, that is the answer.
	Files  []string
	Force  bool     // Files are taken whatever build they are of
	Dirs   []string // more folders, searched first
	Beside string   // the dump's folder
	System string   // the root below which /usr/lib/debug, /boot and /lib/modules lie; "" is /

	Cache      string // folder for what is unpacked; "": files without a name, gone with the process
	CacheLimit int64  // bytes of Cache; 0 is 8 GiB

	// Quick: a search takes only what can be had at once. Nothing that it meets is
	// unpacked and nothing fetched; what was so before is found in the caches. Files are
	// unpacked all the same.
	Quick bool

	Debuginfod Debuginfod

	// Modules are the modules of the dump. A package is passed over once for all of them.
	Modules func() []Want

	// Progress is told how far the reading of a packed file or of a server is.
	Progress func(what string, done, total int64)
}

// File is a file with debug information. It stays open until the Finder is closed.
type File struct {
	Image
	Path   string      // where other programs can open it, an ELF file that is not packed
	Origin string      // where it comes from, for people: a path, a package and a file in it, an address
	Proof  string      // what shows that it is the dump's: "build-id", "banner", "srcversion", "vermagic", "release", "" nothing
	Forced *OtherBuild // it is of another build, and taken because Options.Force says so
	Size   int64       // bytes
	file   *os.File
}

// ReadAt reads the file.
func (f *File) ReadAt(p []byte, off int64) (int, error) { return f.file.ReadAt(p, off) }

var (
	// ErrNotFound: there is no debug information where it was looked for.
	ErrNotFound = errors.New("not found")
	// ErrNoDebug: a file of the right build that has no debug information, as the
	// kernel that was booted has none.
	ErrNoDebug = dwarf.ErrNoDebug
)

// OtherBuild is the error about a file of another build than the dump's.
type OtherBuild struct {
	Want  Want
	Path  string
	What  string // what differs: "build-id", "banner", "srcversion", "vermagic", "release"
	Found string // the file's
	Dump  string // the dump's
}

// Error reads like "vmlinux is of another build: its build-id is 66cc…, the dump's 721b…;
// install linux-image-6.1.0-56-amd64-dbg (Debian), or name its vmlinux with -k".
func (e *OtherBuild) Error() string {
	return fmt.Sprintf("%s is of another build: its %s is %s, the dump's %s; %s", e.Path, e.What, e.Found, e.Dump, e.Want.install())
}

// Missing is the error about debug information that was not found; it is ErrNotFound.
type Missing struct {
	Want  Want
	Trail []Attempt // what was met that did not fit
}

// Error reads like "no vmlinux of 6.1.0-56-amd64: install …".
func (e *Missing) Error() string {
	s := "no debug information of " + e.Want.String()
	if e.Want.Module == "" {
		s = "no " + e.Want.String()
	}
	if e.Want.BuildID != "" {
		s += ", build-id " + e.Want.BuildID
	}
	return s + ": " + e.Want.install()
}

// Unwrap is ErrNotFound, and to who reads it ErrNoDebug.
func (e *Missing) Unwrap() []error { return []error{ErrNotFound, ErrNoDebug} }

// Attempt is a file that was looked at.
type Attempt struct {
	Want Want
	Path string
	Err  error // why it was not taken, nil: it was
}

// Finder finds debug information. It is safe for many goroutines, and answers the same
// question once.
type Finder struct {
	o     Options
	store store

	mu    sync.Mutex
	known map[string]result // by module
	kept  map[string]*File  // what was unpacked, by sourceKey
	dirs  map[root]map[string][]string
	trail []Attempt
	files []*os.File
}

type result struct {
	file *File
	err  error
}

// New makes a Finder.
func New(o Options) *Finder {
	if o.System == "" {
		o.System = "/"
	}
	if o.CacheLimit == 0 {
		o.CacheLimit = 8 << 30
	}
	return &Finder{
		o: o, store: store{o.Cache, o.CacheLimit},
		known: make(map[string]result), kept: make(map[string]*File), dirs: make(map[root]map[string][]string),
	}
}

// Close closes the files that were found.
func (f *Finder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, file := range f.files {
		errs = append(errs, file.Close())
	}
	f.files, f.known, f.kept = nil, make(map[string]result), make(map[string]*File)
	return errors.Join(errs...)
}

// Trail is what was looked at until now, in order.
func (f *Finder) Trail() []Attempt {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Attempt(nil), f.trail...)
}

// Find finds the file with the debug information of a kernel or module. What is not there is
// a *Missing; a file that Options.Files name and that does not fit is an *OtherBuild, or
// wraps ErrNoDebug. The same want is searched for once, whatever the answer was.
func (f *Finder) Find(ctx context.Context, w Want) (*File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, ok := f.known[moduleName(w.Module)]; ok {
		return r.file, r.err
	}
	file, err := f.search(ctx, &w)
	if ctx.Err() == nil {
		f.known[moduleName(w.Module)] = result{file, err}
	}
	return file, err
}

// search looks everywhere, in the order of what is cheap and what was asked for.
func (f *Finder) search(ctx context.Context, w *Want) (*File, error) {
	if file, err := f.named(ctx, w); file != nil || err != nil {
		return file, err
	}
	first := len(f.trail)
	for _, places := range f.steps(w) {
		for _, p := range places() {
			if file := f.try(ctx, p, w); file != nil {
				return file, nil
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
	}
	if !f.o.Quick && w.BuildID != "" {
		if file := f.fetch(ctx, w); file != nil {
			return file, nil
		}
	}
	return nil, &Missing{*w, append([]Attempt(nil), f.trail[first:]...)}
}

// steps are the places of a want, each step made when those before had nothing.
func (f *Finder) steps(w *Want) (steps []func() []string) {
	roots := f.o.roots()
	each := func(of func(root, *Want) []string) {
		for _, r := range roots {
			steps = append(steps, func() []string { return of(r, w) })
		}
	}
	each(func(r root, w *Want) []string { return buildIDPlaces(r, w.BuildID) })
	steps = append(steps, func() []string { return f.cached(w.BuildID) })
	if w.Module == "" {
		each(kernelPlaces)
	} else {
		each(f.modulePlaces)
	}
	each(packagePlaces)
	return steps
}

// cached are the files in the caches, ours and that of elfutils, by their build-id.
func (f *Finder) cached(id string) (list []string) {
	if !isBuildID(id) {
		return nil
	}
	if f.o.Cache != "" {
		list = append(list, f.store.path(id))
	}
	if f.o.Debuginfod.Cache != "" {
		list = append(list, filepath.Join(f.o.Debuginfod.Cache, id, "debuginfo"))
	}
	return list
}

// named looks at the files that were named: nil without an error when none of them can be
// what is wanted, so that it is searched for. That a package has no such file is no error
// about a module; of the files for the kernel one must fit.
func (f *Finder) named(ctx context.Context, w *Want) (*File, error) {
	var why error
	for _, path := range f.o.Files {
		pack := isPackage(path)
		name, ko := moduleFile(filepath.Base(path))
		if !pack && (ko != (w.Module != "") || ko && name != moduleName(w.Module)) {
			continue
		}
		file, err := f.openNamed(ctx, path, w)
		if pack && w.Module != "" && errors.Is(err, ErrNotFound) {
			continue
		}
		if err == nil {
			return file, nil
		}
		why = err
	}
	return nil, why
}

// openNamed opens a file that was named.
func (f *Finder) openNamed(ctx context.Context, path string, w *Want) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file (folders are named with --debug-dir)", path)
	}
	file, err := f.open(ctx, path, info, w, false)
	var other *OtherBuild
	if errors.As(err, &other) && file != nil && f.o.Force {
		file.Forced, err = other, nil
	}
	f.trail = append(f.trail, Attempt{*w, path, err})
	if err != nil {
		return nil, err
	}
	return file, nil
}

// try looks at a file on a search: nil when it is not there or does not fit, which the
// trail tells.
func (f *Finder) try(ctx context.Context, path string, w *Want) *File {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!info.Mode().IsRegular() || info.Size() == 0) {
		return nil
	}
	var file *File
	if err == nil {
		file, err = f.open(ctx, path, info, w, f.o.Quick)
	}
	f.trail = append(f.trail, Attempt{*w, path, err})
	if err != nil {
		return nil
	}
	f.store.used(path)
	return file
}
