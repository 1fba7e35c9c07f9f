package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/vfs"
)

type filesFlags struct {
	dump   *dumpFlags
	all    bool
	long   bool
	search string
	json   bool
}

func filesCommand() command {
	return command{
		name: "files", group: "Tasks", args: "DUMP [PID|TASK|COMM…]",
		short: "open files of a task; without one of the task that crashed",
		long: `Shows root, working directory and program, and every open descriptor with the
addresses of its struct file, dentry and inode. UNKN is what is no file of any
kind, such as an eventpoll. -R asks who has something open, and looks at every
process when no task is named.`,
		example: "kautopsy files -R /var/log /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &filesFlags{dump: addDumpFlags(fs)}
			fs.BoolVarP(&f.all, "all", "a", false, "every process")
			fs.BoolVarP(&f.long, "long", "l", false, "access, position, inode number and flags instead of addresses")
			fs.StringVarP(&f.search, "reference", "R", "", "only files whose path contains `NAME`, or that have this address")
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

// openFiles are a task's files as the command found them.
type openFiles struct {
	task   kernel.Task
	places vfs.Places
	lost   bool // some of these could not be read
	files  []openFile
}

// where tells root, working directory and program; "" of a task that has ended.
func (o openFiles) where() string {
	if o.places == (vfs.Places{}) && !o.lost {
		return ""
	}
	show := func(path string) string {
		if path == "" {
			return notAll
		}
		return printable(path)
	}
	line := fmt.Sprintf("ROOT: %s    CWD: %s", show(o.places.Root), show(o.places.CWD))
	if o.places.Exe != "" {
		line += "    EXE: " + printable(o.places.Exe)
	}
	return line
}

// openFile is a file that could perhaps not be read in full.
type openFile struct {
	vfs.File
	err error
}

func (f *filesFlags) run(env *environment, args []string) error {
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	everybody := (f.all || f.search != "") && len(rest) == 0
	pick := pickOrCrashed
	if everybody {
		pick = pickTasks
	}
	tasks, missing, err := pick(env, k, rest)
	if err != nil {
		return err
	}
	lack := &lacking{env: env, list: missing}
	var found []openFiles
	for _, t := range tasks {
		if everybody && (t.PID != t.TGID || t.Idle) {
			continue // threads share the files of their process
		}
		o := readFiles(env, k, t, lack)
		if f.search != "" {
			if o = o.matching(f.search); len(o.files) == 0 {
				continue
			}
		}
		found = append(found, o)
	}
	if f.json {
		return printJSON(env.out, filesDocument(found, lack.document()))
	}
	if f.search != "" && len(found) == 0 {
		return fmt.Errorf("nobody has %s open among %s", f.search, count(len(tasks), "task"))
	}
	for i, o := range found {
		if i > 0 {
			fmt.Fprintln(env.out)
		}
		f.print(env.out, o)
	}
	lack.list = lack.list[len(missing):] // told already
	lack.tell()
	return nil
}

func readFiles(env *environment, k *kernel.Kernel, t kernel.Task, lack *lacking) openFiles {
	o := openFiles{task: t}
	var err error
	o.places, err = vfs.PlacesOf(k, t)
	lack.add("files", err)
	o.lost = err != nil
	for file, err := range vfs.Files(env.ctx, k, t) {
		lack.add("files", err)
		if file.FD >= 0 {
			o.files = append(o.files, openFile{file, err})
		}
	}
	return o
}

// matching keeps the files whose path contains a text, or one of whose addresses it is.
func (o openFiles) matching(text string) openFiles {
	at, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 64)
	all := o.files
	o.files = nil
	for _, f := range all {
		if strings.Contains(f.Path, text) || err == nil && at > 0 && (at == f.Addr || at == f.Dentry || at == f.Inode) {
			o.files = append(o.files, f)
		}
	}
	return o
}

// path is what stands in the last column.
func (f openFile) path() string {
	if f.err != nil && f.Path == "" {
		return notAll
	}
	return printable(f.Path)
}

func (f *filesFlags) print(w io.Writer, o openFiles) {
	fmt.Fprintln(w, taskHead(o.task))
	if where := o.where(); f.search == "" && where != "" {
		fmt.Fprintln(w, where)
	}
	switch {
	case len(o.files) == 0:
		fmt.Fprintln(w, "No open files")
	case f.long:
		printFilesLong(w, o.files)
	default:
		printFiles(w, o.files)
	}
}

// printFiles prints crash's table.
func printFiles(w io.Writer, files []openFile) {
	fmt.Fprintln(w, " FD       FILE            DENTRY           INODE       TYPE PATH")
	for _, f := range files {
		kind := f.Type.String()
		if f.Type == 0 {
			kind = "?"
		}
		fmt.Fprintf(w, "%3d %016x %016x %016x %-4s %s\n", f.FD, f.Addr, f.Dentry, f.Inode, kind, f.path())
	}
}

// printFilesLong prints what /proc/PID/fdinfo has.
func printFilesLong(w io.Writer, files []openFile) {
	fmt.Fprintln(w, " FD TYPE MODE        POS      INODE    FLAGS PATH")
	for _, f := range files {
		if f.Type == 0 {
			fmt.Fprintf(w, "%3d %-4s %-4s %10s %10s %8s %s\n", f.FD, "?", "?", "?", "?", "?", f.path())
			continue
		}
		fmt.Fprintf(w, "%3d %-4s %-4s %10d %10d %8s %s\n",
			f.FD, f.Type, f.Access(), f.Pos, f.Ino, fmt.Sprintf("0%o", f.FDInfoFlags()), f.path())
	}
}

type filesTask struct {
	Task  hexAddress  `json:"task"`
	PID   int         `json:"pid"`
	Comm  string      `json:"comm"`
	Root  string      `json:"root,omitempty"`
	CWD   string      `json:"cwd,omitempty"`
	Exe   string      `json:"exe,omitempty"`
	Files []filesFile `json:"files"`
}

type filesFile struct {
	FD          int        `json:"fd"`
	File        hexAddress `json:"file"`
	Dentry      hexAddress `json:"dentry,omitempty"`
	Inode       hexAddress `json:"inode,omitempty"`
	Ino         uint64     `json:"ino,omitempty"`
	Type        string     `json:"type,omitempty"`
	Path        string     `json:"path,omitempty"`
	Access      string     `json:"access,omitempty"`
	Flags       string     `json:"flags,omitempty"` // octal, as in /proc/PID/fdinfo
	Pos         *int64     `json:"pos,omitempty"`
	CloseOnExec bool       `json:"close_on_exec"`
}

func filesDocument(found []openFiles, missing []kernel.Missing) any {
	list := make([]filesTask, 0, len(found))
	for _, o := range found {
		t := filesTask{hexAddress(o.task.Addr), o.task.PID, o.task.Comm, o.places.Root, o.places.CWD, o.places.Exe, []filesFile{}}
		for _, f := range o.files {
			e := filesFile{
				FD: f.FD, File: hexAddress(f.Addr), Dentry: hexAddress(f.Dentry), Inode: hexAddress(f.Inode), Ino: f.Ino,
				Path: f.Path, CloseOnExec: f.CloseOnExec,
			}
			if f.Type != 0 {
				e.Type, e.Access, e.Flags, e.Pos = f.Type.String(), f.Access(), fmt.Sprintf("0%o", f.FDInfoFlags()), &f.Pos
			}
			t.Files = append(t.Files, e)
		}
		list = append(list, t)
	}
	return struct {
		Schema  int              `json:"schema"`
		Tasks   []filesTask      `json:"tasks"`
		Missing []kernel.Missing `json:"missing"`
	}{schema, list, missing}
}
