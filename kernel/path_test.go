package kernel_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// TestPaths: the root, working directory, program and open files of every process have the
// names that their links in the guest's /proc had.
func TestPaths(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		tasks := guesttest.Tasks(t, g.Kernel)
		n, pseudo, deleted := 0, 0, 0
		for line := range strings.Lines(g.Truth(t, "fds.txt")) {
			line, _, _ = strings.Cut(strings.TrimRight(line, "\n"), " | ")
			words := strings.SplitN(line, " ", 3)
			var pid int
			fmt.Sscan(words[0], &pid)
			task, alive := tasks[pid]
			if !alive || pid == g.Recorder(t) {
				continue
			}
			o, err := linked(task, words[1])
			if err != nil {
				t.Errorf("%s: %v", line, err)
				continue
			}
			if name, err := g.PathName(o); name != words[2] || err != nil {
				t.Errorf("%s: %q, %v", line, name, err)
			}
			n++
			if strings.HasSuffix(words[2], "]") {
				pseudo++
			}
			if strings.HasSuffix(words[2], " (deleted)") {
				deleted++
			}
		}
		t.Logf("%d links, %d of them in no directory, %d deleted", n, pseudo, deleted)
		if n < 200 || pseudo < 10 || deleted < 1 {
			t.Error("that is not enough")
		}
	})
}

// linked is what a link in /proc/PID leads to: a struct path or a struct file.
func linked(task kernel.Task, link string) (kernel.Object, error) {
	var fd uint64
	if _, err := fmt.Sscan(link, &fd); err == nil {
		files, err := task.Through("files", "fdt")
		if err != nil {
			return kernel.Object{}, err
		}
		array, err := files.Member("fd")
		if err != nil {
			return kernel.Object{}, err
		}
		file, err := array.Index(fd)
		if err != nil {
			return kernel.Object{}, err
		}
		return file.Follow()
	}
	if link == "exe" {
		return task.Through("mm", "exe_file")
	}
	fs, err := task.Follow("fs")
	if err != nil {
		return kernel.Object{}, err
	}
	return fs.Member(strings.Replace(link, "cwd", "pwd", 1))
}

// opened is the file behind a descriptor of the process that has a file named so open.
func opened(t *testing.T, k *kernel.Kernel, name string) kernel.Object {
	t.Helper()
	for _, task := range guesttest.Tasks(t, k) {
		for _, fd := range []string{"3", "4", "5"} {
			if o, err := linked(task, fd); err == nil {
				if got, _ := k.PathName(o); got == name {
					return o
				}
			}
		}
	}
	t.Fatalf("nobody has %s open", name)
	return kernel.Object{}
}

// TestPathDamaged: what leads in circles, to nowhere or into what is not in the dump ends,
// and says why.
func TestPathDamaged(t *testing.T) {
	const name = "/mnt/data/flock.lock"
	path := func(k *kernel.Kernel) kernel.Path {
		p, err := k.Path(opened(t, k, name))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for what, c := range map[string]struct {
		change func(m guesttest.Memory, p kernel.Path)
		want   string
		reason error
	}{
		"a directory that is its own grandchild": {func(m guesttest.Memory, p kernel.Path) {
			parent, _ := p.Dentry.Follow("d_parent")
			m.PutUint(p.Mount, "mnt.mnt_root", 0x1000)
			m.PutUint(parent, "d_parent", p.Dentry.Addr)
		}, "", phys.ErrCorrupt},
		"mounts that hold each other": {func(m guesttest.Memory, p kernel.Path) {
			at, _ := p.Mount.Pointer("mnt.mnt_root")
			m.PutUint(p.Mount, "mnt_mountpoint", at)
			up, _ := p.Mount.Follow("mnt_parent")
			m.PutUint(up, "mnt.mnt_root", at)
			m.PutUint(up, "mnt_parent", p.Mount.Addr)
			m.PutUint(up, "mnt_mountpoint", at)
		}, "", phys.ErrCorrupt},
		"a mount that was detached": {func(m guesttest.Memory, p kernel.Path) {
			m.PutUint(p.Mount, "mnt_parent", p.Mount.Addr)
			m.PutUint(p.Mount, "mnt_ns", 0)
		}, "(unreachable)/flock.lock", nil},
		"a file that was unlinked": {func(m guesttest.Memory, p kernel.Path) {
			m.PutUint(p.Dentry, "d_hash.pprev", 0)
		}, name + " (deleted)", nil},
		"an endless name": {func(m guesttest.Memory, p kernel.Path) {
			m.PutUint(p.Dentry, "d_name.len", 1<<31)
		}, "…/", phys.ErrCorrupt},
		"no name": {func(m guesttest.Memory, p kernel.Path) {
			m.PutUint(p.Dentry, "d_name.name", 0x10)
		}, "…/", phys.ErrUnmapped},
		"no directory": {func(m guesttest.Memory, p kernel.Path) {
			m.PutUint(p.Dentry, "d_parent", 0)
		}, "…/", phys.ErrUnmapped},
		"a lost mount": {func(m guesttest.Memory, p kernel.Path) {
			m.Lose(p.Mount.Addr)
		}, "…/", phys.ErrLost},
	} {
		t.Run(what, func(t *testing.T) {
			var file kernel.Object
			k := guesttest.Altered(t, func(k *kernel.Kernel, m guesttest.Memory) {
				file = opened(t, k, name)
				c.change(m, path(k))
			})
			got, err := k.PathName(k.Object(file.Type, file.Addr))
			if c.want != "" && got != c.want || !errors.Is(err, c.reason) {
				t.Errorf("%q, %v; want %q, %v", got, err, c.want, c.reason)
			}
			if c.reason == phys.ErrCorrupt && len(got) > 1<<20 {
				t.Errorf("a path of %d bytes", len(got))
			}
		})
	}
}

// TestPathUnder: a process sees what lies below its root directory.
func TestPathUnder(t *testing.T) {
	k := guesttest.Tiny(t).Kernel
	p, err := k.Path(opened(t, k, "/mnt/data/flock.lock"))
	if err != nil {
		t.Fatal(err)
	}
	mount, err := k.MountRoot(p.Mount)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		root   kernel.Path
		name   string
		inside bool
	}{{mount, "/flock.lock", true}, {p, "/", true}, {kernel.Path{}, "/mnt/data/flock.lock", false}} {
		if name, inside, err := p.Under(c.root); name != c.name || inside != c.inside || err != nil {
			t.Errorf("%q, %v, %v; want %q, %v", name, inside, err, c.name, c.inside)
		}
	}
}
