package kernel

import "time"

// TaskTimes is what the kernel counted of a task, in nanoseconds.
type TaskTimes struct {
	Boot    time.Duration // start_boottime: when it began, sleep of the machine included
	User    time.Duration // utime: by ticks, or exact with CONFIG_VIRT_CPU_ACCOUNTING_GEN
	System  time.Duration // stime
	Run     time.Duration // sum_exec_runtime: exact
	Arrival time.Duration // when it last came to a CPU, by the clock of its run queue
}

// Times reads the times of a task. Before 3.17 the start is a struct timespec, before 4.11
// User and System are jiffies or cputime; those are not understood and an error.
func (t Task) Times() (TaskTimes, error) {
	f := t.Fields()
	out := TaskTimes{
		Boot:   time.Duration(f.Uint("start_boottime", "real_start_time")),
		User:   time.Duration(f.Uint("utime")),
		System: time.Duration(f.Uint("stime")),
		Run:    time.Duration(f.Uint("se.sum_exec_runtime")),
		// CONFIG_SCHED_INFO is off in small kernels: what the scheduler itself keeps is
		// when the task last began to run, or was last looked at while it ran.
		Arrival: time.Duration(f.Uint("sched_info.last_arrival", "se.exec_start")),
	}
	return out, f.Err()
}

// Limits are the resource limits of the task's process by number, RLIMIT_CPU 0: the
// current and the highest. All bits set is no limit.
func (t Task) Limits() (limits [][2]uint64, err error) {
	signal, err := t.Follow("signal")
	if err != nil {
		return nil, err
	}
	rlim, err := signal.Member("rlim")
	if err != nil {
		return nil, err
	}
	for i := range rlim.Type.Underlying().Count {
		o, err := rlim.Index(i)
		if err != nil {
			return limits, err
		}
		f := o.Fields()
		limits = append(limits, [2]uint64{f.Uint("rlim_cur"), f.Uint("rlim_max")})
		if err := f.Err(); err != nil {
			return limits, err
		}
	}
	return limits, nil
}

// SP is the stack pointer that the task left when it last went to sleep.
func (t Task) SP() (uint64, error) { return t.Uint("thread.sp", "thread.cpu_context.sp", "thread.ksp") }
