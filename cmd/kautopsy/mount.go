package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/vfs"
)

type mountFlags struct {
	dump  *dumpFlags
	pid   int
	files bool
	proc  bool
	json  bool
}

func mountCommand() command {
	return command{
		name: "mount", group: "The system", args: "DUMP [DIR|DEVICE|TYPE|ADDRESS…]",
		short: "mounted file systems, devices and options",
		long: `Shows what process 1 sees, or with -n another task, as /proc/mounts does. MOUNT
is the address of the struct mount (before 3.3 vfsmount), SUPERBLK that of the
super_block. "…" stands for options that only the file system's own code could
tell: those of tmpfs, ramfs, proc, debugfs, devpts, ext2 and ext4 are read.`,
		example: "kautopsy mount -f /var/crash/vmcore /home",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &mountFlags{dump: addDumpFlags(fs)}
			fs.IntVarP(&f.pid, "namespace", "n", 1, "what the task `PID` sees")
			fs.BoolVarP(&f.files, "files", "f", false, "with the files that processes have open there")
			fs.BoolVarP(&f.proc, "proc", "p", false, "in the form of /proc/mounts")
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

func (f *mountFlags) run(env *environment, args []string) error {
	k, names, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	all, missing, err := allTasks(env, k)
	if err != nil {
		return err
	}
	lack := &lacking{env: env, list: missing}
	task, err := taskOfPID(all, f.pid)
	if err != nil {
		return err
	}
	var mounts []mounted
	for m, err := range vfs.Mounts(env.ctx, k, task) {
		lack.add("mounts", err)
		if m.Addr != 0 && wantedMount(m, names) {
			mounts = append(mounts, mounted{m, err != nil})
		}
	}
	var open map[uint64][]mountUser
	if f.files {
		open = mountUsers(env, k, all, lack)
	}
	switch {
	case f.json:
		return printJSON(env.out, mountDocument(mounts, open, lack.document()))
	case len(mounts) == 0 && len(names) > 0:
		return fmt.Errorf("nothing mounted that is %s", strings.Join(names, " "))
	case len(mounts) == 0 && len(lack.list) > 0:
		return lack.list[0].Err
	case f.proc:
		for _, m := range mounts {
			if !m.broken {
				fmt.Fprintf(env.out, "%s %s %s %s 0 0\n", octal(m.Device), octal(m.Dir), octal(m.Type), optionsOf(m))
			}
		}
	default:
		printMounts(env.out, mounts, open)
	}
	lack.list = lack.list[len(missing):] // told already
	lack.tell()
	return nil
}

// mounted is a mount that could perhaps not be read in full.
type mounted struct {
	vfs.Mount
	broken bool
}

// taskOfPID is the task of a PID.
func taskOfPID(all []kernel.Task, pid int) (kernel.Task, error) {
	for _, t := range all {
		if t.PID == pid && !t.Idle {
			return t, nil
		}
	}
	return kernel.Task{}, fmt.Errorf("no task %d (kautopsy ps lists them; -n PID takes another)", pid)
}

// wantedMount tells whether one of the arguments names a mount.
func wantedMount(m vfs.Mount, names []string) bool {
	for _, n := range names {
		hex := strings.TrimPrefix(n, "0x")
		if n == m.Dir || n == m.Device || n == m.Type || hex == fmt.Sprintf("%x", m.Addr) || hex == fmt.Sprintf("%x", m.Superblock) {
			return true
		}
	}
	return len(names) == 0
}

// optionsOf are a mount's options as /proc/mounts has them.
func optionsOf(m mounted) string {
	if m.broken {
		return notAll
	}
	words := m.Options
	if !m.Complete {
		words = append(words[:len(words):len(words)], "…")
	}
	return printable(strings.Join(words, ","))
}

// octal spells a name as /proc/mounts does: blanks and backslashes as \NNN.
func octal(s string) string {
	return printable(strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`, "#", `\043`).Replace(s))
}

// printMounts prints crash's table, with the options behind it.
func printMounts(w io.Writer, mounts []mounted, open map[uint64][]mountUser) {
	types, devices, dirs := len("TYPE"), len("DEVNAME"), len("DIRNAME")
	for _, m := range mounts {
		types, devices, dirs = max(types, columns(m.Type)), max(devices, columns(octal(m.Device))), max(dirs, columns(octal(m.Dir)))
	}
	fmt.Fprintf(w, "     MOUNT           SUPERBLK     %-*s %-*s %-*s OPTIONS\n", types, "TYPE", devices, "DEVNAME", dirs, "DIRNAME")
	for _, m := range mounts {
		fmt.Fprintf(w, "%016x %016x %-*s %-*s %-*s %s\n", m.Addr, m.Superblock,
			types, printable(m.Type), devices, octal(m.Device), dirs, octal(m.Dir), optionsOf(m))
		for _, u := range open[m.Superblock] {
			fmt.Fprintf(w, "    %7d %-16s %4s %s\n", u.PID, printable(u.Comm), u.Use, printable(u.Path))
		}
	}
}

// mountUser is a process that keeps a file system from being unmounted.
type mountUser struct {
	PID  int    `json:"pid"`
	Comm string `json:"comm"`
	Use  string `json:"use"` // the descriptor
	Path string `json:"path"`
}

// mountUsers are the open files of all processes by their super block.
func mountUsers(env *environment, k *kernel.Kernel, all []kernel.Task, lack *lacking) map[uint64][]mountUser {
	out := map[uint64][]mountUser{}
	for _, t := range all {
		if t.PID != t.TGID || t.Idle {
			continue
		}
		for f, err := range vfs.Files(env.ctx, k, t) {
			lack.add("files", err)
			if f.Superblock != 0 {
				out[f.Superblock] = append(out[f.Superblock], mountUser{t.PID, t.Comm, fmt.Sprint(f.FD), f.Path})
			}
		}
	}
	return out
}

type mountEntry struct {
	Mount      hexAddress  `json:"mount"`
	Superblock hexAddress  `json:"superblock"`
	ID         int         `json:"id"`
	Dev        string      `json:"dev"` // "major:minor"
	Type       string      `json:"type"`
	Device     string      `json:"device"`
	Dir        string      `json:"dir"`
	Options    []string    `json:"options"`
	Complete   bool        `json:"options_complete"`
	Open       []mountUser `json:"open,omitempty"`
}

func mountDocument(mounts []mounted, open map[uint64][]mountUser, missing []kernel.Missing) any {
	list := make([]mountEntry, 0, len(mounts))
	for _, m := range mounts {
		if m.broken {
			continue // it is among what is missing
		}
		list = append(list, mountEntry{
			hexAddress(m.Addr), hexAddress(m.Superblock), m.ID, fmt.Sprintf("%d:%d", m.Major, m.Minor), m.Type, m.Device, m.Dir,
			m.Options, m.Complete, open[m.Superblock],
		})
	}
	return struct {
		Schema  int              `json:"schema"`
		Mounts  []mountEntry     `json:"mounts"`
		Missing []kernel.Missing `json:"missing"`
	}{schema, list, missing}
}
