package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols/debuginfo"
	"github.com/kautopsy/kautopsy/symbols/dwarf"
)

// debugFlags say where debug information comes from.
type debugFlags struct {
	names []string
	dirs  []string
	force bool
	fetch bool

	checked bool // file is checked when the dump is opened, whether an answer needs it or not
	hurry   bool // nothing that was not named is unpacked or fetched
}

// add declares the flags: where source lines are part of the answer for all to see, and with
// the short name that crash and gdb made known; elsewhere they are taken all the same.
func (f *debugFlags) add(set *pflag.FlagSet, shown bool) {
	short := ""
	if f.checked, f.hurry = shown, !shown; shown {
		short = "k"
	}
	set.StringArrayVarP(&f.names, "vmlinux", short, nil, "source lines from `FILE`: vmlinux, packed or not, a .ko, the .deb or .rpm that has them; may be repeated")
	set.StringArrayVar(&f.dirs, "debug-dir", nil, "look for debug information in `DIR` first, then beside the dump and in /usr/lib/debug")
	set.BoolVar(&f.force, "force-vmlinux", false, "take the vmlinux of another build, too")
	set.BoolVar(&f.fetch, "debuginfod", false, "ask the servers in $DEBUGINFOD_URLS, too")
	for _, name := range []string{"vmlinux", "debug-dir", "force-vmlinux", "debuginfod"} {
		set.Lookup(name).Hidden = !shown
	}
}

// asked tells whether a flag says where debug information is.
func (f *debugFlags) asked() bool { return len(f.names) > 0 || len(f.dirs) > 0 || f.fetch }

// debugFiles gives a kernel its debug information. It looks for none before it is asked.
type debugFiles struct {
	env    *environment
	names  []string // that -k named
	dirs   []string // that --debug-dir named
	force  bool
	finder *debuginfo.Finder
	k      *kernel.Kernel

	silent bool // the command itself tells what was met

	once sync.Once
	mods []debuginfo.Want // the dump's, for packages

	mu   sync.Mutex
	told int // how much of the finder's trail
	bar  *bar
	open []*dwarf.File
}

// files makes the finder of a dump.
func (f *debugFlags) files(env *environment, dump string) (*debugFiles, error) {
	d := &debugFiles{env: env, names: f.names, dirs: f.dirs, force: f.force, bar: newBar(env)}
	o := debuginfo.Options{
		Files: f.names, Dirs: f.dirs, Beside: filepath.Dir(dump), Force: f.force, Quick: f.hurry,
		Debuginfod: debuginfo.DebuginfodOf(env.getenv),
		Modules:    func() []debuginfo.Want { return d.mods },
		Progress:   func(_ string, done, total int64) { d.bar.show(uint64(max(done, 0)), uint64(max(total, 0))) },
	}
	if dir := cacheDir(env); dir != "" {
		o.Cache = filepath.Join(dir, "debuginfo")
	}
	for _, name := range f.names {
		if _, err := os.Stat(name); err != nil {
			return nil, usagef("--vmlinux: %v", err)
		}
	}
	switch {
	case f.force && len(f.names) == 0:
		return nil, usagef("--force-vmlinux: which vmlinux? Name it with --vmlinux")
	case f.fetch && len(o.Debuginfod.URLs) == 0:
		return nil, usagef("--debuginfod: $DEBUGINFOD_URLS names no server")
	case !f.fetch:
		o.Debuginfod.URLs = nil
	}
	d.finder = debuginfo.New(o)
	return d, nil
}

// cacheDir is the user's folder for what can be made again, "" if there is none.
func cacheDir(env *environment) string {
	if dir := env.getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "kautopsy")
	}
	home := env.getenv("HOME")
	if _, err := os.Stat(home); err != nil || !filepath.IsAbs(home) { // a service's home is often not there
		return ""
	}
	return filepath.Join(home, ".cache", "kautopsy")
}

// namesDir is where the index of a vmlinux's names is kept, "" if nowhere.
func namesDir(env *environment) string {
	dir := cacheDir(env)
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "names")
}

// close closes what was found.
func (d *debugFiles) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.open {
		f.Close()
	}
	d.finder.Close()
}

// OpenDebug finds and opens a file; it is kernel.DebugInfo.
func (d *debugFiles) OpenDebug(ctx context.Context, w kernel.Want) (*dwarf.File, error) {
	if w.Module != "" { // before the lock: to know the modules can take vmlinux
		d.once.Do(func() { d.mods = d.modules(ctx) })
	}
	return d.openWanted(ctx, wanted(w))
}

// openWanted finds and opens what is wanted.
func (d *debugFiles) openWanted(ctx context.Context, w debuginfo.Want) (*dwarf.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	found, err := d.find(ctx, w)
	if err != nil {
		return nil, err
	}
	f, err := dwarf.Open(found, found.Size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", found.Origin, err)
	}
	f.FindSplit(debuginfo.Split(found.Path, d.dirs...))
	bar := newBar(d.env)
	f.Scanning(d.env.ctx, func(done, total int) {
		if bar.show(uint64(done), uint64(total)); done == total {
			bar.end()
		}
	})
	d.open = append(d.open, f)
	return f, nil
}

// find finds a file and tells what of another build was met.
func (d *debugFiles) find(ctx context.Context, w debuginfo.Want) (*debuginfo.File, error) {
	f, err := d.finder.Find(ctx, w)
	d.bar.end()
	trail := d.finder.Trail()
	for _, a := range trail[d.told:] {
		var other *debuginfo.OtherBuild
		if !d.silent && errors.As(a.Err, &other) && !errors.As(err, new(*debuginfo.OtherBuild)) {
			d.env.warn("%s is not used: its %s is %s, the dump's %s", a.Path, other.What, other.Found, other.Dump)
		}
	}
	d.told = len(trail)
	return f, err
}

// kernelFile finds the vmlinux.
func (d *debugFiles) kernelFile(ctx context.Context) (*debuginfo.File, error) {
	w := wanted(d.k.DebugWant(ctx, ""))
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.find(ctx, w)
}

// vmlinux is where a program that takes no packed file finds the kernel's. By force it is
// what was named, whatever that is. Of a dump in which no kernel was found nothing can be
// checked either.
func (d *debugFiles) vmlinux(ctx context.Context) (string, error) {
	switch {
	case d.force:
		d.env.warn("%s is taken by force: nobody looked whether it is the dump's", d.names[0])
		return d.names[0], nil
	case d.k != nil:
		f, err := d.kernelFile(ctx)
		if err != nil {
			return "", forceHint(err)
		}
		return f.Path, nil
	case len(d.names) > 0:
		return d.names[0], nil
	}
	return "", errors.New("the kernel's vmlinux is needed, and which kernel it was is not known: name one with -k")
}

// forceHint tells how a file of another build is taken all the same.
func forceHint(err error) error {
	if errors.As(err, new(*debuginfo.OtherBuild)) {
		return fmt.Errorf("%w (--force-vmlinux takes it)", err)
	}
	return err
}

// check finds the vmlinux that was named, and tells when it was taken by force. That there is
// none is no fault here: modules may have been named alone.
func (d *debugFiles) check(ctx context.Context) error {
	f, err := d.kernelFile(ctx)
	if errors.As(err, new(*debuginfo.Missing)) {
		return nil
	}
	if err == nil && f.Forced != nil {
		d.env.warn("%s is of another build and taken by force: what it adds may be wrong (its %s is %s, the dump's %s)",
			f.Origin, f.Forced.What, f.Forced.Found, f.Forced.Dump)
	}
	return forceHint(err)
}

// wanted is what a kernel wants as debug information is looked for.
func wanted(w kernel.Want) debuginfo.Want {
	return debuginfo.Want{
		Module: w.Module, Release: w.Release, BuildID: hex.EncodeToString(w.BuildID),
		Doubtful: w.Doubtful, Banner: w.Banner, SrcVersion: w.SrcVersion,
	}
}

// modules are the dump's modules as debug information is looked for.
func (d *debugFiles) modules(ctx context.Context) (list []debuginfo.Want) {
	u, _ := d.k.Utsname() // as above
	for m := range d.k.ModuleInfos(ctx) {
		if m.Name != "" {
			list = append(list, debuginfo.Want{Module: m.Name, Release: u.Release, BuildID: m.BuildID, SrcVersion: m.SrcVersion})
		}
	}
	return list
}
