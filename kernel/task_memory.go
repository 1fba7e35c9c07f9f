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
	pages, err := r.resident(mm)
	t.VSZ, t.RSS = total*page, pages*page
	return err
}

// residentCounters are the indices that make up the resident set: file, anonymous and
// shared memory; index 2 counts swap entries (enum in include/linux/mm_types_task.h).
var residentCounters = []uint64{0, 1, 3}

// resident adds the counters of mm.rss_stat: an array of counters until 6.1, one of
// percpu_counters since (f1a7941243c1), of which each CPU holds back a part.
func (r *taskReader) resident(mm Object) (pages uint64, err error) {
	stat, err := mm.Member("rss_stat.count", "rss_stat")
	if err != nil {
		return 0, err
	}
	sum := int64(0)
	for _, i := range residentCounters {
		o, err := stat.Index(i)
		if err != nil {
			return 0, err
		}
		n, err := o.Int("counter", "count")
		if err != nil {
			return 0, err
		}
		held, err := r.held(o)
		if err != nil {
			return 0, err
		}
		sum += n + held
	}
	return uint64(max(0, sum)), nil
}

// held is what the CPUs hold back of a percpu_counter; 0 for a plain counter.
func (r *taskReader) held(o Object) (sum int64, err error) {
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
