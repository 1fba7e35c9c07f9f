package vfs

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/kautopsy/kautopsy/kernel"
)

// Mount is one mount of a namespace. Object is its struct mount, struct vfsmount before 3.3.
type Mount struct {
	kernel.Object

	ID         int    // mnt_id of /proc/PID/mountinfo and fdinfo
	Superblock uint64 // address of the struct super_block
	Major      int    // of the device, or of the number that stands for it
	Minor      int
	Device     string // what was mounted, in the words of whoever did it
	Type       string // of the file system, "ext4", "fuse.sshfs"
	Dir        string // mount point, as the namespace's task sees it

	// Options are those of /proc/mounts, "rw" or "ro" first. A file system's own options
	// stand in its own structures; Complete is false where some are not among these.
	Options  []string
	Complete bool
}

// Mounts yields the mounts that a task sees, as its /proc/PID/mounts would: those of its
// namespace below its root directory, in their order. An error about a mount comes with
// what is known of it.
func Mounts(ctx context.Context, k *kernel.Kernel, task kernel.Task) iter.Seq2[Mount, error] {
	return func(yield func(Mount, error) bool) {
		ns, root, err := seen(k, task)
		if err != nil {
			yield(Mount{}, fmt.Errorf("mounts of task %d: %w", task.PID, err))
			return
		}
		for o, err := range listed(ctx, k, ns) {
			if err != nil {
				if !yield(Mount{}, fmt.Errorf("mounts of task %d: %w", task.PID, err)) {
					return
				}
				continue
			}
			m := Mount{Object: o}
			inside, err := m.read(ctx, k, root)
			if err != nil {
				err = fmt.Errorf("mount %#x: %w", m.Addr, err)
			}
			if (inside || err != nil) && !yield(m, err) {
				return
			}
		}
	}
}

// seen is a task's mount namespace and its root directory.
func seen(k *kernel.Kernel, task kernel.Task) (ns kernel.Object, root kernel.Path, err error) {
	if ns, err = task.Through("nsproxy", "mnt_ns"); err != nil {
		return ns, root, err
	}
	fs, err := task.Follow("fs")
	if err != nil {
		return ns, root, err
	}
	at, err := fs.Member("root")
	if err != nil {
		return ns, root, err
	}
	root, err = k.Path(at)
	return ns, root, err
}

// cursor marks an entry of a namespace's list that is a reader's place in it (5.8 to 6.7,
// 9f6c61f96f2d).
const cursor = 0x10000000

// listed yields the mounts of a struct mnt_namespace in the order of /proc/mounts: by its
// list until 6.7, then (2eea9ce4310d) by its tree.
func listed(ctx context.Context, k *kernel.Kernel, ns kernel.Object) iter.Seq2[kernel.Object, error] {
	return func(yield func(kernel.Object, error) bool) {
		top, err := ns.Follow("root")
		if err != nil {
			yield(top, err)
			return
		}
		mounts, err := ns.Member("list", "mounts")
		if err != nil {
			yield(top, err)
			return
		}
		walk := k.List(ctx, mounts.Addr, top.Type, "mnt_list")
		if !ns.Has("list") {
			walk = k.RBTree(ctx, mounts.Addr, top.Type, "mnt_node")
		}
		for o, err := range walk {
			if err == nil {
				if flags, err := o.Uint("mnt.mnt_flags", "mnt_flags"); err == nil && flags&cursor != 0 {
					continue
				}
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// read asks a mount what Mount has, and tells whether it lies below root.
func (m *Mount) read(ctx context.Context, k *kernel.Kernel, root kernel.Path) (inside bool, err error) {
	f := m.Fields()
	m.ID, m.Device = int(f.Int("mnt_id")), f.Text("mnt_devname")
	flags := f.Uint("mnt.mnt_flags", "mnt_flags")
	errs := []error{f.Err()}
	if p, perr := k.MountRoot(m.Object); perr != nil {
		errs = append(errs, perr)
	} else {
		m.Dir, inside, perr = p.Under(root)
		errs = append(errs, perr)
	}
	sb, err := m.Follow("mnt.mnt_sb", "mnt_sb")
	if err != nil {
		return inside, errors.Join(append(errs, err)...)
	}
	s := sb.Fields()
	dev := s.Uint("s_dev")
	m.Superblock, m.Major, m.Minor = sb.Addr, int(dev>>20), int(dev&(1<<20-1))
	m.Options = shared(s.Uint("s_flags"), flags)
	name, terr := typeName(sb)
	own, complete, err := super{sb, k, ctx, name}.ownOptions()
	m.Type, m.Options, m.Complete = name, append(m.Options, own...), complete && err == nil
	errs = append(errs, s.Err(), terr, err)
	if sb.Has("s_subtype") {
		sub, err := sb.Text("s_subtype")
		if errs = append(errs, err); sub != "" {
			m.Type += "." + sub // fuse.sshfs
		}
	}
	return inside, errors.Join(errs...)
}

// typeName is the name of a super block's file system.
func typeName(sb kernel.Object) (string, error) {
	t, err := sb.Follow("s_type")
	if err != nil {
		return "", err
	}
	return t.Text("name")
}

// option is a word that a bit of flags puts into /proc/mounts.
type option struct {
	bit  uint64
	word string
}

// What show_sb_opts and show_mnt_opts of fs/proc_namespace.c tell, in their order. The bits
// never moved (include/linux/fs.h and mount.h).
var (
	superOptions = []option{{0x10, "sync"}, {0x80, "dirsync"}, {0x40, "mand"}, {1 << 25, "lazytime"}}
	mountOptions = []option{
		{0x01, "nosuid"},
		{0x02, "nodev"},
		{0x04, "noexec"},
		{0x08, "noatime"},
		{0x10, "nodiratime"},
		{0x20, "relatime"},
		{0x80, "nosymfollow"},
	}
)

const readOnlySuper, readOnlyMount = 0x1, 0x40

// shared are the options that the kernel keeps for all file systems alike.
func shared(super, mount uint64) []string {
	out := []string{"rw"}
	if super&readOnlySuper != 0 || mount&readOnlyMount != 0 {
		out[0] = "ro"
	}
	for _, part := range []struct {
		flags uint64
		words []option
	}{{super, superOptions}, {mount, mountOptions}} {
		for _, o := range part.words {
			if part.flags&o.bit != 0 {
				out = append(out, o.word)
			}
		}
	}
	return out
}
