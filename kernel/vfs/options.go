package vfs

import (
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// A file system's own options are what its show_options would print from its own
// structures. Those that are in nearly every machine are read here; of all others
// Mount.Complete says that there may be more.

// The s_magic of file systems that go by several names: rootfs and devtmpfs are one of these
// (include/uapi/linux/magic.h).
const (
	magicTmpfs = 0x01021994
	magicRamfs = 0x858458f6
)

// reader reads a file system's options. complete is false when there may be more.
type reader func(s super) (words []string, complete bool, err error)

var readers = map[string]reader{
	"proc": procOptions, "debugfs": debugfsOptions, "devpts": devptsOptions, "ext2": ext2Options, "ext4": ext4Options,
}

// super is a struct super_block and what reading it needs.
type super struct {
	kernel.Object
	k    *kernel.Kernel
	ctx  context.Context
	name string // of the file system
}

// ownOptions are those of the file system itself.
func (s super) ownOptions() (words []string, complete bool, err error) {
	f := s.Fields()
	magic, private := f.Uint("s_magic"), f.Pointer("s_fs_info")
	if err := f.Err(); err != nil {
		return nil, false, err
	}
	read := readers[s.name]
	switch magic {
	case magicTmpfs:
		read = tmpfsOptions
	case magicRamfs:
		read = ramfsOptions
	}
	if read == nil || private == 0 {
		complete, err = s.silent()
		return nil, complete, err
	}
	words, complete, err = read(s)
	if errors.Is(err, symbols.ErrNoType) || errors.Is(err, symbols.ErrNoMember) {
		return nil, false, nil // a module's own types are not in every kernel
	}
	return words, complete, err
}

// silent tells whether a file system has no options to show. kernfs passes the question on
// (fs/kernfs/mount.c), and sysfs has no answer.
func (s super) silent() (bool, error) {
	op, err := s.Follow("s_op")
	if err != nil {
		return false, err
	}
	at, err := op.Pointer("show_options")
	return err == nil && (at == 0 || s.name == "sysfs"), err
}

// private is the file system's own part of a super_block: s_fs_info, which is of that type.
func (s super) private(spelled string) (kernel.Object, error) {
	at, err := s.Pointer("s_fs_info")
	if err != nil {
		return kernel.Object{}, err
	}
	return s.k.CastIn(s.ctx, s.name, at, spelled)
}

// words gathers options.
type words []string

func (w *words) add(when bool, format string, args ...any) {
	if when {
		*w = append(*w, fmt.Sprintf(format, args...))
	}
}

// owner adds who owns the root directory, if it is not root.
func (w *words) owner(uid, gid uint64) {
	w.add(uid != 0, "uid=%d", uid)
	w.add(gid != 0, "gid=%d", gid)
}

// tmpfsOptions are what shmem_show_options tells (mm/shmem.c). Limits that are the default,
// half of the memory, are not told; where the kernel does not name its variables the
// default is not known and the limits are told.
func tmpfsOptions(s super) ([]string, bool, error) {
	o, err := s.private("struct shmem_sb_info")
	if err != nil {
		return nil, false, err
	}
	f := o.Fields()
	blocks, inodes, mode := f.Uint("max_blocks"), f.Uint("max_inodes"), f.Uint("mode")
	half, known := halfOfMemory(s.k)
	var w words
	w.add(!known || blocks != half, "size=%dk", blocks*uint64(s.k.PageSize()/1024))
	w.add(!known || inodes != half, "nr_inodes=%d", inodes)
	w.add(mode != 0o1777, "mode=%03o", mode)
	w.owner(f.Uint("uid.val", "uid"), f.Uint("gid.val", "gid"))
	if o.Has("full_inums") { // 5.9 on; inode32 is told only where CONFIG_TMPFS_INODE64 is the default
		w.add(f.Uint("full_inums") != 0, "inode64")
	}
	policy := uint64(0)
	if o.Has("mpol") {
		policy = f.Pointer("mpol")
	}
	huge := uint64(0)
	if o.Has("huge") { // 4.8 on
		huge = f.Uint("huge")
	}
	if names := [...]string{"", "always", "within_size", "advise"}; huge < uint64(len(names)) {
		w.add(huge > 0, "huge=%s", names[huge])
	}
	if o.Has("noswap") { // 6.4 on
		w.add(f.Uint("noswap") != 0, "noswap")
	}
	return w, policy == 0, f.Err()
}

// halfOfMemory is half of the pages that the kernel manages.
func halfOfMemory(k *kernel.Kernel) (pages uint64, known bool) {
	ts, err := k.Types()
	if err != nil {
		return 0, false
	}
	for name, member := range map[string][]string{"_totalram_pages": {"counter"}, "totalram_pages": nil} {
		if o, err := k.Global(ts, name); err == nil {
			if n, err := o.Uint(member...); err == nil {
				return n / 2, true
			}
		}
	}
	return 0, false
}

func ramfsOptions(s super) ([]string, bool, error) {
	o, err := s.private("struct ramfs_fs_info")
	if err != nil {
		return nil, false, err
	}
	mode, err := o.Uint("mount_opts.mode")
	var w words
	w.add(mode != 0o755, "mode=%o", mode)
	return w, true, err
}

// procOptions: until 5.7 (fa10fed30f25) they were the PID namespace's.
func procOptions(s super) ([]string, bool, error) {
	o, err := s.private("struct proc_fs_info")
	if errors.Is(err, symbols.ErrNoType) {
		o, err = s.private("struct pid_namespace")
	}
	if err != nil {
		return nil, false, err
	}
	f := o.Fields()
	gid := f.Uint("pid_gid.val", "pid_gid")
	var w words
	w.add(gid != 0, "gid=%d", gid)
	hidden := f.Uint("hide_pid")
	hide := map[uint64]string{1: "noaccess", 2: "invisible", 4: "ptraceable"}
	w.add(hidden != 0, "hidepid=%s", hide[hidden])
	if o.Has("pidonly") {
		w.add(f.Uint("pidonly") != 0, "subset=pid")
	}
	return w, true, f.Err()
}

func debugfsOptions(s super) ([]string, bool, error) {
	o, err := s.private("struct debugfs_fs_info")
	if err != nil {
		return nil, false, err
	}
	f := o.Fields()
	mode := f.Uint("mount_opts.mode", "mode") // the latter 6.12 on
	var w words
	w.owner(f.Uint("mount_opts.uid.val", "mount_opts.uid", "uid.val", "uid"), f.Uint("mount_opts.gid.val", "mount_opts.gid", "gid.val", "gid"))
	w.add(mode != 0o700, "mode=%o", mode)
	return w, true, f.Err()
}

func devptsOptions(s super) ([]string, bool, error) {
	o, err := s.private("struct pts_fs_info")
	if err != nil {
		return nil, false, err
	}
	f := o.Fields()
	const most = 1 << 20 // NR_UNIX98_PTY_MAX
	var w words
	w.add(f.Uint("mount_opts.setuid") != 0, "uid=%d", f.Uint("mount_opts.uid.val", "mount_opts.uid"))
	w.add(f.Uint("mount_opts.setgid") != 0, "gid=%d", f.Uint("mount_opts.gid.val", "mount_opts.gid"))
	w.add(true, "mode=%03o", f.Uint("mount_opts.mode"))
	w.add(true, "ptmxmode=%03o", f.Uint("mount_opts.ptmxmode"))
	max := f.Uint("mount_opts.max")
	w.add(max < most, "max=%d", max)
	return w, true, f.Err()
}
