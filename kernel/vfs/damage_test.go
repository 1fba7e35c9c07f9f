package vfs_test

import (
	"errors"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/vfs"
	"github.com/kautopsy/kautopsy/phys"
)

// filesOf are what Files yields of process 1.
func filesOf(t *testing.T, k *kernel.Kernel) (files []vfs.File, err error) {
	t.Helper()
	for f, ferr := range vfs.Files(t.Context(), k, guesttest.Tasks(t, k)[1]) {
		files, err = append(files, f), errors.Join(err, ferr)
	}
	return files, err
}

// TestFilesDamaged: what is broken or gone costs no more than itself, and says why.
func TestFilesDamaged(t *testing.T) {
	for what, c := range map[string]struct {
		change func(m guesttest.Memory, table kernel.Object, file vfs.File)
		files  int
		reason error
	}{
		"a table without end": {func(m guesttest.Memory, table kernel.Object, _ vfs.File) {
			m.PutUint(table, "max_fds", 1<<31)
		}, 1, phys.ErrCorrupt},
		"no table": {func(m guesttest.Memory, table kernel.Object, _ vfs.File) {
			m.PutUint(table, "fd", 0)
		}, 1, phys.ErrUnmapped},
		"a file without dentry": {func(m guesttest.Memory, _ kernel.Object, file vfs.File) {
			m.PutUint(file.Object, "f_path.dentry", 0x28)
		}, 4, phys.ErrUnmapped},
		"a file without inode": {func(m guesttest.Memory, _ kernel.Object, file vfs.File) {
			m.PutUint(file.Object, "f_inode", 0)
		}, 4, phys.ErrUnmapped},
		"an inode that is lost": {func(m guesttest.Memory, _ kernel.Object, file vfs.File) {
			m.Lose(file.Inode)
		}, 4, phys.ErrLost},
		"an inode that is excluded": {func(m guesttest.Memory, _ kernel.Object, file vfs.File) {
			m.Exclude(file.Inode)
		}, 4, phys.ErrExcluded},
	} {
		k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
			files, err := filesOf(t, k)
			if err != nil || len(files) != 4 {
				t.Fatal(len(files), err)
			}
			table, err := guesttest.Tasks(t, k)[1].Through("files", "fdt")
			if err != nil {
				t.Fatal(err)
			}
			c.change(m, table, files[3])
		})
		files, err := filesOf(t, k)
		if len(files) != c.files || !errors.Is(err, c.reason) {
			t.Errorf("%s: %d files, %v; want %d, %v", what, len(files), err, c.files, c.reason)
		}
		if last := files[len(files)-1]; c.files == 4 && (last.FD != 10 || (last.Type != 0) != (what == "a file without dentry")) {
			t.Errorf("%s: %+v", what, last)
		}
	}
}

// TestMountsDamaged: the same of mounts.
func TestMountsDamaged(t *testing.T) {
	mounts := func(k *kernel.Kernel) (list []vfs.Mount, err error) {
		for m, merr := range vfs.Mounts(t.Context(), k, guesttest.Tasks(t, k)[1]) {
			list, err = append(list, m), errors.Join(err, merr)
		}
		return list, err
	}
	for what, c := range map[string]struct {
		change func(m guesttest.Memory, mount vfs.Mount)
		reason error
	}{
		"a mount that is its own neighbour": {func(m guesttest.Memory, mount vfs.Mount) {
			m.PutUint(mount.Object, "mnt_node.rb_right", mount.Addr+offset(mount.Object, "mnt_node"))
		}, phys.ErrCorrupt},
		"no super block": {func(m guesttest.Memory, mount vfs.Mount) {
			m.PutUint(mount.Object, "mnt.mnt_sb", 0)
		}, phys.ErrUnmapped},
		"a super block that is excluded": {func(m guesttest.Memory, mount vfs.Mount) {
			m.Exclude(mount.Superblock)
		}, phys.ErrExcluded},
	} {
		n := 0
		k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
			list, err := mounts(k)
			if n = len(list); err != nil || n != 6 {
				t.Fatal(n, err)
			}
			c.change(m, list[4])
		})
		if list, err := mounts(k); len(list) < 4 || len(list) > n+1 || !errors.Is(err, c.reason) {
			t.Errorf("%s: %d mounts, %v; want %v", what, len(list), err, c.reason)
		}
	}
}

func offset(o kernel.Object, member string) uint64 {
	m, err := o.Type.Member(member)
	if err != nil {
		panic(err)
	}
	return m.Offset / 8
}
