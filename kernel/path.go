package kernel

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/phys"
)

// Path is what a struct path names: a dentry as it is seen through a mount.
type Path struct {
	Mount  Object // struct mount; struct vfsmount before 3.3
	Dentry Object // struct dentry
}

// Path reads a struct path, or that of a struct file.
func (k *Kernel) Path(o Object) (p Path, err error) {
	if o.Has("f_path") {
		if o, err = o.Member("f_path"); err != nil {
			return p, err
		}
	}
	mnt, err := o.Follow("mnt")
	if err != nil {
		return p, err
	}
	if p.Dentry, err = o.Follow("dentry"); err != nil {
		return p, err
	}
	// Before 3.3 (7d6fec45a5131) a struct vfsmount was all of a mount.
	p.Mount = mnt
	if !mnt.Has("mnt_parent") {
		p.Mount, err = mnt.Around("struct mount", "mnt")
	}
	return p, err
}

// PathName is the name that /proc/PID/fd and /proc/PID/maps show for a struct path or a
// struct file, see Path.Name.
func (k *Kernel) PathName(o Object) (string, error) {
	p, err := k.Path(o)
	if err != nil {
		return "", err
	}
	return p.Name()
}

// MountRoot is the root of what a struct mount shows. Its name is where that is mounted.
func (k *Kernel) MountRoot(mount Object) (Path, error) {
	root, err := mount.Follow("mnt.mnt_root", "mnt_root")
	return Path{mount, root}, err
}

// Name is the path as the kernel gives it to a reader who sees everything (d_path): through
// all mounts to the root of the mount namespace, " (deleted)" behind a name that was
// unlinked, and "pipe:[14]", "socket:[7]", "anon_inode:[eventpoll]" for what is in no
// directory. "(unreachable)" stands in front of a path in a mount that was detached from
// its namespace, as in getcwd.
//
// An error comes with the end of the path as far as it was read, behind "…/".
func (p Path) Name() (string, error) {
	if name, err := p.pseudo(); name != "" || err != nil {
		return name, err
	}
	name, top, err := p.climb(Path{})
	if err != nil {
		return name, err
	}
	if ns, err := top.Mount.Pointer("mnt_ns"); err == nil && ns == 0 {
		name = "(unreachable)" + name
	}
	return p.deleted(name)
}

// Under is the path as a process sees it whose root directory is root; inside is false when
// root does not lie above the path.
func (p Path) Under(root Path) (name string, inside bool, err error) {
	name, top, err := p.climb(root)
	if err != nil {
		return name, false, err
	}
	name, err = p.deleted(name)
	return name, top.is(root), err
}

func (p Path) is(q Path) bool {
	return p.Mount.Addr == q.Mount.Addr && p.Dentry.Addr == q.Dentry.Addr
}

// maxDepth bounds the way from a dentry to the root of all: the kernel's own paths have at
// most 4096 bytes.
const maxDepth = 4096

// climb goes up to root, or as far as there is something above, and joins the names on its
// way.
func (p Path) climb(root Path) (name string, top Path, err error) {
	var names []string
	for range maxDepth {
		if p.is(root) {
			return joined("/", names), p, nil
		}
		next, name, err := p.up()
		switch {
		case err != nil:
			return joined("…/", names), p, err
		case next.is(p):
			return joined("/", names), p, nil
		case name != "":
			names = append(names, name)
		}
		p = next
	}
	return joined("…/", names), p, fmt.Errorf("dentry %#x: no root within %d steps: %w", p.Dentry.Addr, maxDepth, phys.ErrCorrupt)
}

// joined makes a path of the names from a file upwards.
func joined(begin string, names []string) string {
	slices.Reverse(names)
	return begin + strings.Join(names, "/")
}

// up is one step: to the parent directory, whose entry has the name, or from the root of a
// mount to its mount point. At the top, and where a directory was moved out of what its
// mount shows, it leads to p itself.
func (p Path) up() (next Path, name string, err error) {
	root, err := p.Mount.Pointer("mnt.mnt_root", "mnt_root")
	if err != nil {
		return p, "", err
	}
	if p.Dentry.Addr == root {
		next, err = p.cross()
		return next, "", err
	}
	parent, err := p.Dentry.Follow("d_parent")
	if err != nil || parent.Addr == p.Dentry.Addr {
		return p, "", err
	}
	name, err = DentryName(p.Dentry)
	return Path{p.Mount, parent}, name, err
}

// cross leads from the root of a mount to its mount point, and from the topmost to itself.
func (p Path) cross() (next Path, err error) {
	next = p
	if next.Mount, err = p.Mount.Follow("mnt_parent"); err == nil && next.Mount.Addr != p.Mount.Addr {
		next.Dentry, err = p.Mount.Follow("mnt_mountpoint")
	}
	return next, err
}

// deleted marks a path whose dentry is in no directory any more: not hashed, and no root.
func (p Path) deleted(name string) (string, error) {
	f := p.Dentry.Fields()
	hashed, parent := f.Pointer("d_hash.pprev"), f.Pointer("d_parent")
	if hashed == 0 && parent != p.Dentry.Addr && f.Err() == nil {
		name += " (deleted)"
	}
	return name, f.Err()
}

// maxName bounds the name of a dentry; file systems allow 255 bytes.
const maxName = 4096

// DentryName is the last part of the path of a struct dentry: its d_name.
func DentryName(dentry Object) (string, error) {
	f := dentry.Fields()
	n, at := f.Uint("d_name.len"), f.Pointer("d_name.name")
	if err := f.Err(); err != nil {
		return "", err
	}
	if n > maxName {
		return "", fmt.Errorf("name of dentry %#x: %d bytes: %w", dentry.Addr, n, phys.ErrCorrupt)
	}
	name := make([]byte, n)
	if _, err := dentry.k.ReadVirt(name, at); err != nil {
		return "", fmt.Errorf("name of dentry %#x: %w", dentry.Addr, err)
	}
	return string(name), nil
}
