package lock

import (
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
)

// sleepers are the functions that put their caller to sleep, and for what. A name that ends
// in * stands for all that begin so, the longest one decides.
var sleepers = table(map[Kind]string{
	Mutex:       `mutex_lock* __mutex_lock* ww_mutex_lock* __ww_mutex_lock*`,
	RWSem:       `down_read* down_write* __down_read* __down_write* rwsem_down_* __rwsem_down_* call_rwsem_down_* rwbase_*`,
	PercpuRWSem: `percpu_rwsem_wait percpu_down_* __percpu_down_* percpu_rwsem_*`,
	Semaphore:   `down __down ___down_common __down_common down_interruptible __down_interruptible down_killable __down_killable down_timeout __down_timeout`,
	RTMutex:     `rt_mutex_* __rt_mutex_* rt_spin_lock* rtlock_slowlock* futex_lock_pi*`,
	FileLock:    `flock_lock_inode_wait posix_lock_inode_wait locks_lock_inode_wait do_lock_file_wait fcntl_setlk* flock_lock_file_wait posix_lock_file_wait`,
	Completion:  `wait_for_completion* __wait_for_common wait_for_common do_wait_for_common`,
	Page:        `folio_wait_* __folio_lock* wait_on_page_* __lock_page* softleaf_entry_wait_on_locked migration_entry_wait* __migration_entry_wait*`,
	Bit:         `__wait_on_bit* out_of_line_wait_on_bit* __wait_on_buffer __lock_buffer __wait_on_freeing_inode wait_on_inode`,
	Futex:       `futex_wait* __futex_wait* futex_do_wait`,
	Child:       `do_wait __do_wait`,
	Timer:       `do_nanosleep hrtimer_nanosleep* msleep* usleep_range*`,
	Events:      `ep_poll do_epoll_wait do_select do_sys_poll do_poll poll_schedule_timeout*`,
	IO:          `blk_mq_get_tag blk_execute_rq submit_bio_wait dio_await_one __blkdev_direct_IO*`,
})

// asleep are the functions on top of a sleeper's stack that tell nothing but that it sleeps.
var asleep = listed(`__schedule schedule schedule_preempt_disabled schedule_timeout* schedule_hrtimeout* io_schedule* bit_wait* wait_woken
	__wait_event* __switch_to* preempt_schedule* schedule_idle __cond_resched context_switch prepare_to_wait*
	wait_bit_action rcuwait_wait_event* schedule_rtlock rt_mutex_schedule`)

// purposes are what the callers of a sleeping function wait for.
var purposes = table(map[string]string{
	vforkPurpose:                           "wait_for_vfork_done",
	"a work item to end":                   "__flush_work flush_work __cancel_work* cancel_work_sync cancel_delayed_work_sync flush_delayed_work",
	"a workqueue to be empty":              "__flush_workqueue flush_workqueue drain_workqueue destroy_workqueue",
	"an RCU grace period":                  "synchronize_rcu* __wait_rcu_gp wait_rcu_gp* synchronize_sched* cond_synchronize_rcu* synchronize_net",
	"an SRCU grace period":                 "__synchronize_srcu synchronize_srcu*",
	"pending RCU callbacks":                "rcu_barrier* _rcu_barrier*",
	"a kernel thread to stop":              "kthread_stop kthread_park",
	"a journal commit (jbd2)":              "jbd2_log_wait_commit jbd2_complete_transaction wait_transaction_locked add_transaction_credits start_this_handle",
	"the journal's own writes (jbd2)":      "jbd2_journal_commit_transaction jbd2_journal_* journal_submit_*",
	"a super block that is frozen or busy": "__sb_start_write sb_start_write freeze_super thaw_super super_lock grab_super",
	"a request queue that is frozen":       "blk_mq_freeze_queue* blk_queue_enter __bio_queue_enter",
	"a free request tag of a block device": "blk_mq_get_tag",
	"the stopper thread of a CPU":          "stop_one_cpu stop_machine* stop_cpus stop_two_cpus",
	"a helper program of user space":       "call_usermodehelper_exec",
	"other threads, to write a core dump":  "coredump_wait",
	"dirty pages to be written":            "balance_dirty_pages*",
	"an answer of an NFS or RPC server":    "rpc_wait_bit_killable nfs_wait_* rpc_execute __rpc_execute",
	"a device's fence (GPU)":               "dma_fence_default_wait* dma_fence_wait* drm_*",
	"memory for I/O":                       "mempool_alloc*",
	"a block of a device":                  "__wait_on_buffer __lock_buffer __bread_gfp bh_read",
	"the writing of inodes":                "inode_wait_for_writeback __inode_wait_for_writeback writeback_inodes_sb* wb_wait_for_completion",
	"a page from swap":                     "read_swap_page swap_readpage swap_read_folio*",
	"a page of a file":                     "filemap_fault filemap_read* generic_file_read* filemap_get_pages",
	"devtmpfs":                             "devtmpfs_submit_req",
	"to be thawed":                         "refrigerator __refrigerator",
})

// functions tell something of functions, by their names, or how those begin.
type functions[V any] struct {
	names, begins map[string]V
}

// table turns lists of functions round.
func table[V comparable](lists map[V]string) functions[V] {
	t := functions[V]{names: map[string]V{}, begins: map[string]V{}}
	for v, list := range lists {
		for _, name := range strings.Fields(list) {
			if begin, ok := strings.CutSuffix(name, "*"); ok {
				t.begins[begin] = v
			} else {
				t.names[name] = v
			}
		}
	}
	return t
}

// listed are the functions of one list.
func listed(list string) functions[bool] { return table(map[bool]string{true: list}) }

// of finds a function by its name, or by its longest beginning that the table has.
func (t functions[V]) of(function string) (v V, ok bool) {
	if v, ok = t.names[function]; ok {
		return v, true
	}
	for n := len(function); n > 2; n-- {
		if v, ok = t.begins[function[:n]]; ok {
			return v, true
		}
	}
	return v, false
}

// function is the name in a frame without what the compiler put behind it.
func function(f kernel.Frame) string {
	name, _, _ := strings.Cut(f.Symbol.Name, ".")
	return name
}

// vforkPurpose is told by the child, where a compiler has inlined the function that waits.
const vforkPurpose = "the child of vfork to exec or exit"

// callers is how many frames above the one that sleeps can tell what for.
const callers = 7

// sleep tells what the functions on a stack wait for: the kind, and the index of the frame
// that it was told by, or of the first one that does anything. ok is false for a stack that
// does not begin in the scheduler.
func sleep(frames []kernel.Frame) (kind Kind, at int, ok bool) {
	io := false
	for at < len(frames) {
		name := function(frames[at])
		if _, idle := asleep.of(name); !idle {
			break
		}
		io = io || strings.HasPrefix(name, "io_schedule") || strings.HasSuffix(name, "_io")
		at++
	}
	if at == 0 {
		return "", 0, false
	}
	for i, f := range frames[at:min(len(frames), at+callers)] {
		if k, found := sleepers.of(function(f)); found && f.Kind == kernel.FrameCall {
			return k, at + i, true
		}
	}
	if io {
		return IO, at, true
	}
	return Event, at, true
}

// purpose says what the frames from at on wait for.
func purpose(frames []kernel.Frame, at int) string {
	for _, f := range frames[min(at, len(frames)):min(len(frames), at+callers)] {
		if text, ok := purposes.of(function(f)); ok {
			return text
		}
	}
	return ""
}
