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
var asleep = names(`__schedule schedule schedule_preempt_disabled schedule_timeout* schedule_hrtimeout* io_schedule* bit_wait* wait_woken
	__wait_event* __switch_to* preempt_schedule* schedule_idle __cond_resched context_switch prepare_to_wait*
	wait_bit_action rcuwait_wait_event* schedule_rtlock rt_mutex_schedule`)

// purposes are what the callers of a sleeping function wait for.
var purposes = []struct{ functions, text string }{
	{"wait_for_vfork_done", vforkPurpose},
	{"__flush_work flush_work __cancel_work* cancel_work_sync cancel_delayed_work_sync flush_delayed_work", "a work item to end"},
	{"__flush_workqueue flush_workqueue drain_workqueue destroy_workqueue", "a workqueue to be empty"},
	{"synchronize_rcu* __wait_rcu_gp wait_rcu_gp* synchronize_sched* cond_synchronize_rcu* synchronize_net", "an RCU grace period"},
	{"__synchronize_srcu synchronize_srcu*", "an SRCU grace period"},
	{"rcu_barrier* _rcu_barrier*", "pending RCU callbacks"},
	{"kthread_stop kthread_park", "a kernel thread to stop"},
	{"jbd2_log_wait_commit jbd2_complete_transaction wait_transaction_locked add_transaction_credits start_this_handle", "a journal commit (jbd2)"},
	{"jbd2_journal_commit_transaction jbd2_journal_* journal_submit_*", "the journal's own writes (jbd2)"},
	{"__sb_start_write sb_start_write freeze_super thaw_super super_lock grab_super", "a super block that is frozen or busy"},
	{"blk_mq_freeze_queue* blk_queue_enter __bio_queue_enter", "a request queue that is frozen"},
	{"blk_mq_get_tag", "a free request tag of a block device"},
	{"stop_one_cpu stop_machine* stop_cpus stop_two_cpus", "the stopper thread of a CPU"},
	{"call_usermodehelper_exec", "a helper program of user space"},
	{"coredump_wait", "other threads, to write a core dump"},
	{"balance_dirty_pages*", "dirty pages to be written"},
	{"rpc_wait_bit_killable nfs_wait_* rpc_execute __rpc_execute", "an answer of an NFS or RPC server"},
	{"dma_fence_default_wait* dma_fence_wait* drm_*", "a device's fence (GPU)"},
	{"mempool_alloc*", "memory for I/O"},
	{"__wait_on_buffer __lock_buffer __bread_gfp bh_read", "a block of a device"},
	{"inode_wait_for_writeback __inode_wait_for_writeback writeback_inodes_sb* wb_wait_for_completion", "the writing of inodes"},
	{"read_swap_page swap_readpage swap_read_folio*", "a page from swap"},
	{"filemap_fault filemap_read* generic_file_read* filemap_get_pages", "a page of a file"},
	{"devtmpfs_submit_req", "devtmpfs"},
	{"refrigerator __refrigerator", "to be thawed"},
}

// names splits a list of functions.
func names(s string) map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(s) {
		m[n] = true
	}
	return m
}

// table turns the lists of functions round: by name.
func table(byKind map[Kind]string) map[string]Kind {
	m := map[string]Kind{}
	for k, list := range byKind {
		for n := range names(list) {
			m[n] = k
		}
	}
	return m
}

// lookup finds a function by its name, or by its longest beginning that the table has.
func lookup[V any](m map[string]V, function string) (v V, ok bool) {
	if v, ok = m[function]; ok {
		return v, true
	}
	for n := len(function); n > 2; n-- {
		if v, ok = m[function[:n]+"*"]; ok {
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
		if _, idle := lookup(asleep, name); !idle {
			break
		}
		io = io || strings.HasPrefix(name, "io_schedule") || strings.HasSuffix(name, "_io")
		at++
	}
	if at == 0 {
		return "", 0, false
	}
	for i, f := range frames[at:min(len(frames), at+callers)] {
		if k, found := lookup(sleepers, function(f)); found && f.Kind == kernel.FrameCall {
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
		for _, p := range purposes {
			if _, ok := lookup(names(p.functions), function(f)); ok {
				return p.text
			}
		}
	}
	return ""
}
