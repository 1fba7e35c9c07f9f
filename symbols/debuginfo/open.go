package debuginfo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/phys"
)

// open opens a file of whichever kind and checks that it is what is wanted. With an
// *OtherBuild comes the file as well.
func (f *Finder) open(ctx context.Context, path string, info fs.FileInfo, w *Want, quick bool) (*File, error) {
	src, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	head := make([]byte, bootHeader)
	n, _ := src.ReadAt(head, 0)
	head = head[:n]
	if strings.HasPrefix(string(head), "\x7fELF") {
		f.files = append(f.files, src)
		return f.plain(path, src, info.Size(), w)
	}
	defer src.Close()
	p := &packed{f: f, ctx: ctx, path: path, info: info, walker: walkerOf(head), quick: quick}
	p.r = bufio.NewReaderSize(&progress{ctx: ctx, r: src, what: filepath.Base(path), total: info.Size(), tell: f.o.Progress}, 256<<10)
	if p.walker != nil {
		p.list = func() ([]string, error) {
			return p.walker.names(bufio.NewReader(io.NewSectionReader(src, 0, info.Size())))
		}
	}
	return p.find(w)
}

// errNotKernel: something else than a vmlinux was named.
var errNotKernel = errors.New("not a vmlinux")

// plain is an ELF file, or where its debug information lies apart, that.
func (f *Finder) plain(path string, src *os.File, size int64, w *Want) (*File, error) {
	im, err := ReadImage(src)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if im.Module && w.Module == "" {
		return nil, fmt.Errorf("%s is a module: %w", path, errNotKernel)
	}
	file := &File{Image: im, Path: path, Origin: path, Size: size, file: src}
	if err := file.check(w); err != nil || im.Debug {
		return file, err
	}
	if apart := f.apart(path, im.Link, w); apart != nil {
		return apart, nil
	}
	return nil, fmt.Errorf("%s is the right one and has %w: %s", path, ErrNoDebug, w.install())
}

// apart follows the .gnu_debuglink of a file: beside it, in .debug there, and below the
// system's folder for debug information.
func (f *Finder) apart(of, link string, w *Want) *File {
	if link == "" {
		return nil
	}
	dir, link := filepath.Dir(of), filepath.Base(link)
	for _, d := range []string{dir, filepath.Join(dir, ".debug"), filepath.Join(f.o.System, "usr/lib/debug", dir)} {
		path := filepath.Join(d, link)
		src, err := os.Open(path)
		if err != nil || path == of {
			continue
		}
		f.files = append(f.files, src)
		im, err := ReadImage(src)
		info, serr := src.Stat()
		if err != nil || serr != nil || !im.Debug {
			continue
		}
		found := &File{Image: im, Path: path, Origin: path, Size: info.Size(), file: src}
		if err = found.check(w); err == nil {
			return found
		}
		f.trail = append(f.trail, Attempt{*w, path, err})
	}
	return nil
}

// check compares a file with what is wanted: by build-ids, and where one of the two has
// none by what else there is.
func (f *File) check(w *Want) error {
	marks := []struct{ what, found, dump string }{{"build-id", f.BuildID, w.BuildID}}
	if w.Module != "" {
		release, _, _ := strings.Cut(f.Vermagic, " ")
		marks = append(marks, struct{ what, found, dump string }{"srcversion", f.SrcVersion, w.SrcVersion},
			struct{ what, found, dump string }{"vermagic", release, w.Release})
	} else if f.BuildID == "" || w.BuildID == "" || w.Doubtful && f.BuildID != w.BuildID {
		f.Banner = findBanner(f.file)
		banner := struct{ what, found, dump string }{"banner", f.Banner, strings.TrimSpace(w.Banner)}
		if release := releaseOf(f.Banner); w.Banner == "" || w.Release != "" && release != w.Release { // it says enough
			banner.what, banner.found, banner.dump = "release", release, w.Release
		}
		marks = append(marks, banner)
		if w.Doubtful && f.Banner != "" && banner.what == "banner" {
			slices.Reverse(marks)
		}
	}
	for _, m := range marks {
		if m.found == "" || m.dump == "" {
			continue
		}
		if m.found != m.dump {
			return &OtherBuild{*w, f.Origin, m.what, m.found, m.dump}
		}
		f.Proof = m.what
		return nil
	}
	return nil
}

// releaseOf is the release in a banner: "Linux version 6.1.0-56-amd64 (…".
func releaseOf(banner string) string {
	release, _, _ := strings.Cut(strings.TrimPrefix(banner, bannerMark), " ")
	return release
}

// packed is a packed file or a package.
type packed struct {
	f      *Finder
	ctx    context.Context // of the one answer that it is opened for
	path   string
	info   fs.FileInfo
	walker *walker // nil: no package
	quick  bool    // nothing is unpacked
	list   func() ([]string, error)
	r      *bufio.Reader
}

// errSlow: the file would have to be unpacked, and there is no time for that.
var errSlow = errors.New("packed, and was not unpacked yet")

// find gives the wanted file, unpacked now or before.
func (p *packed) find(w *Want) (*File, error) {
	key := p.key(w)
	if file, err := p.before(key); file != nil || err != nil {
		return p.checked(file, err, w)
	}
	if p.walker != nil {
		names, err := p.list()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.path, err)
		}
		if len(names) > 0 && !slices.ContainsFunc(names, w.isNamed) {
			p.f.store.remember(key, "")
			return nil, p.none(w)
		}
	}
	if p.quick {
		return nil, fmt.Errorf("%s: %w", p.path, errSlow)
	}
	if p.walker != nil {
		return p.walk(w)
	}
	file, err := p.keep(filepath.Base(p.path), p.r, key)
	return p.checked(file, err, w)
}

func (p *packed) key(w *Want) string { return sourceKey(p.path, p.info, w.Module) }

// none is the error about a package without what is wanted.
func (p *packed) none(w *Want) error {
	if w.Module == "" {
		return fmt.Errorf("%s has no vmlinux: %w", p.path, ErrNotFound)
	}
	return fmt.Errorf("%s has no %s.ko: %w", p.path, w.Module, ErrNotFound)
}

// isNamed tells whether a file in a package has the name of what is wanted.
func (w *Want) isNamed(name string) bool {
	base := filepath.Base(name)
	if w.Module == "" {
		return kernelFile(base)
	}
	m, ok := moduleFile(base)
	return ok && m == moduleName(w.Module)
}

// before is what was unpacked before: by this Finder, or by one whose cache is there.
func (p *packed) before(key string) (*File, error) {
	if file := p.f.kept[key]; file != nil {
		return file, nil
	}
	id, ok := p.f.store.from(key)
	if !ok || id == "" {
		return nil, nil
	}
	path := p.f.store.path(id)
	src, err := os.Open(path)
	if err != nil {
		return nil, nil
	}
	p.f.files = append(p.f.files, src)
	im, err := ReadImage(src)
	info, serr := src.Stat()
	if err != nil || serr != nil || im.BuildID != id {
		os.Remove(path)
		return nil, nil
	}
	p.f.store.used(path)
	file := &File{Image: im, Path: path, Origin: p.path, Size: info.Size(), file: src}
	p.f.kept[key] = file
	return file, nil
}

// checked checks what came out of a packed file.
func (p *packed) checked(file *File, err error, w *Want) (*File, error) {
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.path, err)
	}
	if err := file.check(w); err != nil {
		return file, err
	}
	if !file.Debug {
		if apart := p.f.apart(p.path, file.Link, w); apart != nil && p.walker == nil {
			return apart, nil
		}
		return nil, fmt.Errorf("%s is the right one and has %w: %s", file.Origin, ErrNoDebug, w.install())
	}
	return file, nil
}

// walk unpacks what is wanted of a package, and with a module all of the dump's modules that
// it has, so that it is read once.
func (p *packed) walk(w *Want) (*File, error) {
	wants := []Want{*w}
	if w.Module != "" && p.f.o.Modules != nil {
		wants = slices.DeleteFunc(append(wants, p.f.o.Modules()...), func(o Want) bool {
			_, known := p.f.store.from(p.key(&o))
			return known || p.f.kept[p.key(&o)] != nil
		})
	}
	var best *File
	var why error
	for m, err := range p.walker.files(p.r) {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.path, err)
		}
		i := slices.IndexFunc(wants, func(o Want) bool { return o.isNamed(m.name) })
		if i < 0 {
			continue
		}
		file, err := p.keep(filepath.Base(p.path)+": "+m.name, m, p.key(&wants[i]))
		if wants[i].Module != w.Module {
			wants = slices.Delete(wants, i, i+1) // whatever it is, it is looked at when it is asked for
			continue
		}
		if file, err = p.checked(file, err, w); err == nil {
			best, why = file, nil
			wants = slices.Delete(wants, i, i+1)
		} else if best == nil {
			why = err
			var other *OtherBuild
			if errors.As(err, &other) && p.f.o.Force {
				best = file
			}
		}
		if len(wants) == 0 {
			break
		}
	}
	for _, o := range wants {
		if o.Module != w.Module {
			p.f.store.remember(p.key(&o), "")
		}
	}
	if best == nil && why == nil {
		why = p.none(w)
	}
	return best, why
}

// maxUnpacked bounds what a file unpacks to; a vmlinux with debug information has up to
// 1.5 GB.
const maxUnpacked = 8 << 30

// keep unpacks a program to a file.
func (p *packed) keep(origin string, r io.Reader, key string) (*File, error) {
	in, err := program(r)
	if err != nil {
		return nil, err
	}
	out, err := p.f.store.create()
	if err != nil {
		return nil, err
	}
	n, err := io.Copy(out, &progress{ctx: p.ctx, r: io.LimitReader(in, maxUnpacked)})
	if err == nil && n == maxUnpacked {
		err = fmt.Errorf("more than %d bytes: %w", int64(maxUnpacked), phys.ErrLimit)
	}
	var im Image
	if err == nil {
		im, err = ReadImage(out)
	}
	var path string
	if err == nil {
		path, err = p.f.store.commit(out, im.BuildID)
	}
	if err != nil {
		p.f.store.drop(out)
		return nil, err
	}
	p.f.files = append(p.f.files, out)
	if path == "" {
		path = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), out.Fd())
	} else {
		p.f.store.remember(key, im.BuildID)
	}
	file := &File{Image: im, Path: path, Origin: origin, Size: n, file: out}
	p.f.kept[key] = file
	return file, nil
}

// progress tells how far a file is read, and ends when nobody waits for it any more.
type progress struct {
	ctx   context.Context
	r     io.Reader
	what  string
	done  int64
	total int64
	tell  func(what string, done, total int64)
}

func (p *progress) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.r.Read(b)
	p.done += int64(n)
	if p.tell != nil {
		p.tell(p.what, p.done, p.total)
	}
	return n, err
}
