package main

import (
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/ipc"
)

type ipcsFlags struct {
	dump          *dumpFlags
	pid           int
	shm, sem, msg bool
	json          bool
}

func ipcsCommand() command {
	return command{
		name: "ipcs", group: "The system", args: "DUMP [ID|ADDRESS…]",
		short: "System V shared memory, semaphores, message queues",
		long: `Shows what process 1 sees, or with -n another task, in crash's three tables.
STATUS is dest for memory that goes with its last user, locked for what is not
swapped. --json has the times, PIDs and what is in memory too.`,
		example: "kautopsy ipcs -m /var/crash/vmcore",
		setup: func(fs *pflag.FlagSet) func(*environment, []string) error {
			f := &ipcsFlags{dump: addDumpFlags(fs)}
			fs.BoolVarP(&f.shm, "shared-memory", "m", false, "shared memory")
			fs.BoolVarP(&f.sem, "semaphores", "s", false, "semaphores")
			fs.BoolVarP(&f.msg, "queues", "q", false, "message queues")
			fs.IntVarP(&f.pid, "namespace", "n", 1, "what the task `PID` sees")
			fs.BoolVar(&f.json, "json", false, "JSON")
			return f.run
		},
	}
}

// ipcAnswer is what ipcs tells.
type ipcAnswer struct {
	shm []ipc.Shm
	sem []ipc.Sem
	msg []ipc.Msg
}

func (f *ipcsFlags) run(env *environment, args []string) error {
	k, rest, done, err := f.dump.openKernel(env, args)
	if err != nil {
		return err
	}
	defer done()
	all, missing, err := allTasks(env, k)
	if err != nil {
		return err
	}
	task, err := taskOfPID(all, f.pid)
	if err != nil {
		return err
	}
	ns, err := ipc.Namespace(task)
	if err != nil {
		return err
	}
	lack := &lacking{env: env, list: missing}
	var a ipcAnswer
	every := !f.shm && !f.sem && !f.msg
	if f.shm || every {
		a.shm = gather(ipc.SharedMemory(env.ctx, k, ns), lack, func(s ipc.Shm) bool { return isIPC(rest, s.ID, s.Addr) })
	}
	if f.sem || every {
		a.sem = gather(ipc.Semaphores(env.ctx, k, ns), lack, func(s ipc.Sem) bool { return isIPC(rest, s.ID, s.Addr) })
	}
	if f.msg || every {
		a.msg = gather(ipc.Queues(env.ctx, k, ns), lack, func(m ipc.Msg) bool { return isIPC(rest, m.ID, m.Addr) })
	}
	if f.json {
		return printJSON(env.out, a.document(lack.document()))
	}
	if n := len(a.shm) + len(a.sem) + len(a.msg); n == 0 && len(rest) > 0 {
		return fmt.Errorf("no System V IPC %s", strings.Join(rest, " "))
	}
	if f.shm || every {
		a.printShm(env.out)
	}
	if f.sem || every {
		a.printSem(env.out)
	}
	if f.msg || every {
		a.printMsg(env.out)
	}
	lack.list = lack.list[len(missing):] // told already
	lack.tell()
	return nil
}

// gather takes what could be read whole: of the rest it is told that it is missing.
func gather[T any](walk iter.Seq2[T, error], lack *lacking, wanted func(T) bool) (list []T) {
	for v, err := range walk {
		if err != nil {
			lack.add("System V IPC", err)
			continue
		}
		if wanted(v) {
			list = append(list, v)
		}
	}
	return list
}

// isIPC tells whether an argument names an object: by its number, which is decimal, or its
// address.
func isIPC(args []string, id int, addr uint64) bool {
	for _, a := range args {
		if n, err := strconv.Atoi(a); err == nil && n == id {
			return true
		}
		if n, err := strconv.ParseUint(strings.TrimPrefix(a, "0x"), 16, 64); err == nil && n == addr {
			return true
		}
	}
	return len(args) == 0
}

func (a ipcAnswer) printShm(w io.Writer) {
	fmt.Fprintln(w, "SHMID_KERNEL     KEY      SHMID      UID   PERMS BYTES      NATTCH STATUS")
	for _, s := range a.shm {
		line := fmt.Sprintf("%016x %08x %-10d %-5d %-5o %-10d %-6d %s",
			s.Addr, uint32(s.Key), s.ID, s.UID, s.Permissions(), s.Size, s.Attached, strings.Join(shmStatus(s), " "))
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
	none(w, len(a.shm))
}

// none says that a table is empty, and ends it.
func none(w io.Writer, n int) {
	if n == 0 {
		fmt.Fprintln(w, "(none allocated)")
	}
	fmt.Fprintln(w)
}

func shmStatus(s ipc.Shm) (words []string) {
	if s.Doomed() {
		words = append(words, "dest")
	}
	if s.Locked() {
		words = append(words, "locked")
	}
	return words
}

func (a ipcAnswer) printSem(w io.Writer) {
	fmt.Fprintln(w, "SEM_ARRAY        KEY      SEMID      UID   PERMS NSEMS")
	for _, s := range a.sem {
		fmt.Fprintf(w, "%016x %08x %-10d %-5d %-5o %d\n", s.Addr, uint32(s.Key), s.ID, s.UID, s.Permissions(), s.Count)
	}
	none(w, len(a.sem))
}

func (a ipcAnswer) printMsg(w io.Writer) {
	fmt.Fprintln(w, "MSG_QUEUE        KEY      MSQID      UID   PERMS USED-BYTES   MESSAGES")
	for _, m := range a.msg {
		fmt.Fprintf(w, "%016x %08x %-10d %-5d %-5o %-12d %d\n", m.Addr, uint32(m.Key), m.ID, m.UID, m.Permissions(), m.Bytes, m.Messages)
	}
	none(w, len(a.msg))
}

// ipcPerm begins each entry.
type ipcPerm struct {
	Address hexAddress `json:"address"`
	Key     int32      `json:"key"`
	ID      int        `json:"id"`
	UID     uint64     `json:"uid"`
	GID     uint64     `json:"gid"`
	CUID    uint64     `json:"cuid"`
	CGID    uint64     `json:"cgid"`
	Perms   string     `json:"perms"` // octal
}

func permOf(addr uint64, p ipc.Perm) ipcPerm {
	return ipcPerm{hexAddress(addr), p.Key, p.ID, p.UID, p.GID, p.CUID, p.CGID, fmt.Sprintf("%o", p.Permissions())}
}

type ipcShm struct {
	ipcPerm
	Size     uint64   `json:"size"`
	Attached uint64   `json:"nattch"`
	Status   []string `json:"status"`
	CPID     int      `json:"cpid"`
	LPID     int      `json:"lpid"`
	RSS      uint64   `json:"rss_bytes"`
	Swap     uint64   `json:"swap_bytes"`
	Attach   string   `json:"attach_time,omitempty"`
	Detach   string   `json:"detach_time,omitempty"`
	Change   string   `json:"change_time,omitempty"`
}

type ipcSem struct {
	ipcPerm
	Count     int    `json:"nsems"`
	Operation string `json:"operation_time,omitempty"`
	Change    string `json:"change_time,omitempty"`
}

type ipcMsg struct {
	ipcPerm
	Bytes    uint64 `json:"bytes"`
	Messages uint64 `json:"messages"`
	LSPID    int    `json:"lspid"`
	LRPID    int    `json:"lrpid"`
	Send     string `json:"send_time,omitempty"`
	Receive  string `json:"receive_time,omitempty"`
	Change   string `json:"change_time,omitempty"`
}

// stamp is a time as JSON has it, "" for never.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func (a ipcAnswer) document(missing []kernel.Missing) any {
	shm, sem, msg := []ipcShm{}, []ipcSem{}, []ipcMsg{}
	for _, s := range a.shm {
		shm = append(shm, ipcShm{
			permOf(s.Addr, s.Perm), s.Size, s.Attached, append([]string{}, shmStatus(s)...), s.CPID, s.LPID, s.RSS, s.Swap,
			stamp(s.Attach), stamp(s.Detach), stamp(s.Change),
		})
	}
	for _, s := range a.sem {
		sem = append(sem, ipcSem{permOf(s.Addr, s.Perm), s.Count, stamp(s.Operation), stamp(s.Change)})
	}
	for _, m := range a.msg {
		msg = append(msg, ipcMsg{
			permOf(m.Addr, m.Perm), m.Bytes, m.Messages, m.LSPID, m.LRPID, stamp(m.Send), stamp(m.Receive), stamp(m.Change),
		})
	}
	return struct {
		Schema  int              `json:"schema"`
		Shm     []ipcShm         `json:"shared_memory"`
		Sem     []ipcSem         `json:"semaphores"`
		Msg     []ipcMsg         `json:"message_queues"`
		Missing []kernel.Missing `json:"missing"`
	}{schema, shm, sem, msg, missing}
}
