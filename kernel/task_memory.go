package kernel

// memory reads how much of it a process uses. Kernel threads, and tasks that have let go of
// theirs, have none.
func (r *taskReader) memory(t *Task) error {
	at, err := t.Pointer("mm")
	if err != nil || at == 0 || t.KernelThread {
		return err
	}
	mm, err := t.Follow("mm")
	if err != nil {
		return err
	}
	page := uint64(r.k.PageSize())
	total, err := mm.Uint("total_vm")
	if err != nil {
		return err
	}
	held := r.k.heldBack(t.Object, mm)
	pages, err := r.resident(mm, held)
	t.VSZ, t.RSS, t.HeldBack = total*page, pages*page, uint64(max(0, held))*page
	return err
}

// residentCounters are the indices that make up the resident set: file, anonymous and
// shared memory; index 2 counts swap entries (enum in include/linux/mm_types_task.h).
var residentCounters = []uint64{0, 1, 3}

// heldBack is what threads hold back of the resident set of a process: until 6.1 each has a
// task_struct.rss_stat of its own, which it adds to the process's after 64 page faults
// (SPLIT_RSS_COUNTING, 34e55232e59f). /proc leaves it out, and shows 4 KiB of a process that
// has just begun. A child of vfork uses the memory of another process, mm_struct.owner.
func (k *Kernel) heldBack(t, mm Object) (pages int64) {
	if !t.Has("rss_stat.count") {
		return 0
	}
	leader, err := t.Follow("group_leader")
	if err != nil {
		return 0
	}
	pages = k.heldByThreads(leader)
	if !mm.Has("owner") {
		return pages
	}
	owner, err := mm.Follow("owner")
	if err == nil {
		owner, err = owner.Follow("group_leader")
	}
	if err != nil || owner.Addr == leader.Addr {
		return pages
	}
	if at, err := owner.Pointer("mm"); err != nil || at != mm.Addr {
		return pages
	}
	return pages + k.heldByThreads(owner)
}

// heldByThreads adds up what the threads of a process hold back. A list of threads that
// breaks ends the sum: whoever walks the tasks tells of that.
func (k *Kernel) heldByThreads(leader Object) (pages int64) {
	if n, ok := k.threadsHold.Load(leader.Addr); ok {
		return n.(int64)
	}
	head, member, err := threadList(leader)
	if err != nil {
		return 0
	}
	for o, err := range k.List(k.ctx, head.Addr, leader.Type, member) {
		if err != nil {
			break
		}
		pages += held(o)
	}
	if member == "thread_group" { // its head is in the leader itself
		pages += held(leader)
	}
	k.threadsHold.Store(leader.Addr, pages)
	return pages
}

// held is what one thread holds back.
func held(thread Object) (pages int64) {
	stat, err := thread.Member("rss_stat.count")
	if err != nil {
		return 0
	}
	for _, i := range residentCounters {
		if o, err := stat.Index(i); err == nil {
			n, _ := o.Int()
			pages += n
		}
	}
	return pages
}

// resident adds the counters of mm.rss_stat to what threads hold back: an array of counters
// until 6.1, one of percpu_counters since (f1a7941243c1), of which each CPU holds back a part.
func (r *taskReader) resident(mm Object, sum int64) (pages uint64, err error) {
	stat, err := mm.Member("rss_stat.count", "rss_stat")
	if err != nil {
		return 0, err
	}
	for _, i := range residentCounters {
		o, err := stat.Index(i)
		if err != nil {
			return 0, err
		}
		n, err := o.Int("counter", "count")
		if err != nil {
			return 0, err
		}
		part, err := r.heldByCPUs(o)
		if err != nil {
			return 0, err
		}
		sum += n + part
	}
	return uint64(max(0, sum)), nil
}

// heldByCPUs is what the CPUs hold back of a percpu_counter; 0 for a plain counter.
func (r *taskReader) heldByCPUs(o Object) (sum int64, err error) {
	if !o.Has("counters") {
		return 0, nil
	}
	for _, cpu := range r.areas {
		part, err := o.PerCPU(cpu, "counters")
		if err != nil {
			return 0, err
		}
		n, err := part.Int()
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
