// Package ipc answers what System V shared memory, semaphores and message queues there were
// when a kernel died: what /proc/sysvipc told. It needs the kernel's types.
//
//	task -> nsproxy -> ipc_ns -> ids[0 sem, 1 msg, 2 shm].ipcs_idr -> kern_ipc_perm
package ipc

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
)

// ErrNone: a task has no System V IPC: it has ended, or the kernel was built without
// (CONFIG_SYSVIPC).
var ErrNone = errors.New("no System V IPC: the task has ended, or the kernel has none (CONFIG_SYSVIPC)")

// Perm is what all three kinds have: a struct kern_ipc_perm.
type Perm struct {
	Key      int32
	ID       int
	Mode     uint64 // permissions, and what a kind adds
	UID, GID uint64
	// CUID and CGID are those of whoever made it.
	CUID, CGID uint64
}

// Permissions are the low nine bits of Mode.
func (p Perm) Permissions() uint64 { return p.Mode & 0o777 }

// Shm is a piece of shared memory. Object is its struct shmid_kernel.
type Shm struct {
	kernel.Object
	Perm

	Size       uint64 // bytes
	Attached   uint64 // how often
	CPID, LPID int    // of who made it, and who was the last to attach or detach
	RSS, Swap  uint64 // bytes in memory and swapped out

	Attach, Detach, Change time.Time // zero: never
}

// Doomed tells that it goes when nobody has it any more, Locked that it is not swapped.
func (s Shm) Doomed() bool { return s.Mode&0o1000 != 0 }

// Locked tells that it is not swapped.
func (s Shm) Locked() bool { return s.Mode&0o2000 != 0 }

// Sem is a set of semaphores. Object is its struct sem_array.
type Sem struct {
	kernel.Object
	Perm

	Count int // of semaphores

	Operation, Change time.Time
}

// Msg is a queue of messages. Object is its struct msg_queue.
type Msg struct {
	kernel.Object
	Perm

	Bytes, Messages uint64
	LSPID, LRPID    int // of who was the last to send, and to receive

	Send, Receive, Change time.Time
}

// Namespace is the struct ipc_namespace of a task.
func Namespace(task kernel.Task) (kernel.Object, error) {
	proxy, err := task.Pointer("nsproxy")
	if err == nil && proxy == 0 {
		return kernel.Object{}, ErrNone
	}
	ns, err := task.Through("nsproxy", "ipc_ns")
	if err == nil && !ns.Has("ids") {
		err = ErrNone
	}
	if err != nil {
		return ns, fmt.Errorf("IPC of task %d: %w", task.PID, err)
	}
	return ns, nil
}

// Indices of ipc_namespace.ids (ipc/util.h).
const (
	semIDs = iota
	msgIDs
	shmIDs
)

// SharedMemory yields the pieces of shared memory of a struct ipc_namespace, by their index.
// An error about one comes with what is known of it.
func SharedMemory(ctx context.Context, k *kernel.Kernel, ns kernel.Object) iter.Seq2[Shm, error] {
	return entries(ctx, k, ns, shmIDs, "struct shmid_kernel", "shm_perm", readShm)
}

// Semaphores yields the sets of semaphores, see SharedMemory.
func Semaphores(ctx context.Context, k *kernel.Kernel, ns kernel.Object) iter.Seq2[Sem, error] {
	return entries(ctx, k, ns, semIDs, "struct sem_array", "sem_perm", readSem)
}

// Queues yields the queues of messages, see SharedMemory.
func Queues(ctx context.Context, k *kernel.Kernel, ns kernel.Object) iter.Seq2[Msg, error] {
	return entries(ctx, k, ns, msgIDs, "struct msg_queue", "q_perm", readMsg)
}

// entries walks one of the three IDRs. Each kind begins with, or has round it, its
// permissions.
func entries[T any](ctx context.Context, k *kernel.Kernel, ns kernel.Object, kind int, spelled, member string,
	read func(k *kernel.Kernel, o kernel.Object, p Perm) (T, error),
) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		perm, err := k.Cast(0, "struct kern_ipc_perm")
		if err != nil {
			yield(none, err)
			return
		}
		ids, err := ns.Member(fmt.Sprintf("ids[%d].ipcs_idr", kind))
		if err != nil {
			yield(none, err)
			return
		}
		for e, err := range k.IDR(ctx, ids, perm.Type) {
			if err != nil {
				if !yield(none, fmt.Errorf("%s: %w", spelled, err)) {
					return
				}
				continue
			}
			p, perr := readPerm(e.Object)
			o, err := e.Object.Around(spelled, member)
			v := none
			if err == nil {
				v, err = read(k, o, p)
			}
			if err = errors.Join(perr, err); err != nil {
				err = fmt.Errorf("%s %#x: %w", spelled, o.Addr, err)
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

func readPerm(o kernel.Object) (Perm, error) {
	f := o.Fields()
	return Perm{
		Key: int32(f.Int("key")), ID: int(f.Int("id")), Mode: f.Uint("mode"),
		UID: f.Uint("uid.val", "uid"), GID: f.Uint("gid.val", "gid"), CUID: f.Uint("cuid.val", "cuid"), CGID: f.Uint("cgid.val", "cgid"),
	}, f.Err()
}

func readShm(k *kernel.Kernel, o kernel.Object, p Perm) (Shm, error) {
	f := o.Fields()
	s := Shm{
		Object: o, Perm: p, Size: f.Uint("shm_segsz"), Attached: f.Uint("shm_nattch"),
		Attach: when(f, "shm_atim"), Detach: when(f, "shm_dtim"), Change: when(f, "shm_ctim"),
	}
	errs := []error{f.Err()}
	var err error
	s.CPID, err = pid(o, "shm_cprid")
	errs = append(errs, err)
	s.LPID, err = pid(o, "shm_lprid")
	errs = append(errs, err, s.pages(k))
	return s, errors.Join(errs...)
}

// pages reads how much of a piece is in memory and in swap: counters of its file's inode.
// Of huge pages (hugetlbfs) each counts as one page, which is not what it is.
func (s *Shm) pages(k *kernel.Kernel) error {
	file, err := s.Follow("shm_file")
	if err != nil {
		return err
	}
	inode, err := file.Follow("f_inode")
	if errors.Is(err, symbols.ErrNoMember) { // before 3.9
		inode, err = file.Through("f_path.dentry", "d_inode")
	}
	if err != nil {
		return err
	}
	n, err := inode.Uint("i_data.nrpages")
	if err != nil {
		return err
	}
	page := uint64(k.PageSize())
	s.RSS = n * page
	own, err := inode.Around("struct shmem_inode_info", "vfs_inode")
	if err != nil {
		return err
	}
	n, err = own.Uint("swapped")
	s.Swap = n * page
	return err
}

// maxSems bounds a set; the kernel's limit is 32000 (SEMMSL).
const maxSems = 1 << 16

func readSem(_ *kernel.Kernel, o kernel.Object, p Perm) (Sem, error) {
	f := o.Fields()
	s := Sem{Object: o, Perm: p, Count: int(f.Int("sem_nsems")), Change: when(f, "sem_ctime")}
	err := f.Err()
	// Each semaphore has its own time since 3.11 (d12e1e50e47e0).
	if o.Has("sem_otime") {
		s.Operation = when(f, "sem_otime")
		return s, f.Err()
	}
	sems, merr := o.Member("sems")
	if errors.Is(merr, symbols.ErrNoMember) {
		var first kernel.Object
		if first, merr = o.Member("sem_base"); merr == nil {
			sems = first
		}
	}
	err = errors.Join(err, merr)
	for i := 0; i < min(s.Count, maxSems) && err == nil; i++ {
		var one kernel.Object
		if one, err = sems.Index(uint64(i)); err == nil {
			f := one.Fields()
			if t := when(f, "sem_otime"); t.After(s.Operation) {
				s.Operation = t
			}
			err = f.Err()
		}
	}
	return s, err
}

func readMsg(_ *kernel.Kernel, o kernel.Object, p Perm) (Msg, error) {
	f := o.Fields()
	m := Msg{
		Object: o, Perm: p, Bytes: f.Uint("q_cbytes"), Messages: f.Uint("q_qnum"),
		Send: when(f, "q_stime"), Receive: when(f, "q_rtime"), Change: when(f, "q_ctime"),
	}
	errs := []error{f.Err()}
	var err error
	m.LSPID, err = pid(o, "q_lspid")
	errs = append(errs, err)
	m.LRPID, err = pid(o, "q_lrpid")
	return m, errors.Join(append(errs, err)...)
}

// when reads seconds since 1970; 0 is the zero time.
func when(f *kernel.Fields, member string) time.Time {
	s := f.Int(member)
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

// pid reads a PID, in the first PID namespace: a struct pid since 4.17 (98f929b1bd4d0),
// which may be gone, before a number.
func pid(o kernel.Object, member string) (int, error) {
	m, err := o.Member(member)
	if err != nil {
		return 0, err
	}
	if m.Type.Underlying().Kind != symbols.KindPointer {
		n, err := m.Int()
		return int(n), err
	}
	if at, err := m.Pointer(); err != nil || at == 0 {
		return 0, err
	}
	p, err := m.Follow()
	if err != nil {
		return 0, err
	}
	numbers, err := p.Member("numbers")
	if err != nil {
		return 0, err
	}
	first, err := numbers.Index(0)
	if err != nil {
		return 0, err
	}
	n, err := first.Int("nr")
	return int(n), err
}
