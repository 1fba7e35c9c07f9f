package triage

import "strings"

// role is what a function has to do with crashes that it appears in. A function with a role is plumbing: it
// stands in the traces of crashes that others caused.
type role uint8

const (
	roleNone      role = iota
	roleReporting      // prints the report, or enters the kernel on the fault: never the culprit
	roleIdle           // the idle loop: where a CPU is when it does nothing
	roleEntry          // the way in, of system calls, threads and work items
	roleIRQ            // entry of an interrupt: what is below it was only interrupted
	roleLock           // takes or releases a lock for its caller
	roleSleep          // waits for its caller
	roleMemory         // copies, compares, allocates, frees for its caller
	roleList           // works on its caller's list, counter or tree
	roleTimer          // calls what others queued: timers, softirqs, interrupt handlers, IPIs, RCU callbacks
)

// plumbing is the one table of functions that are passed over in the search for the culprit. Names are without
// compiler suffixes; a name that ends in * stands for all that begin so.
var plumbing = map[role]string{
	roleReporting: `
		dump_stack dump_stack_lvl show_stack dump_backtrace show_trace_log_lvl show_regs __show_regs
		panic vpanic nmi_panic panic_on_warn check_panic_on_warn panic_other_cpus_shutdown _printk printk vprintk*
		die die_body die_addr __die __die_body oops_end oops_begin oops_exit die_kernel_fault die_nmi arm64_notify_die
		__warn __warn_printk warn_slowpath_fmt warn_slowpath_null warn_slowpath_common warn_slowpath_fmt_taint
		warn_bogus_irq_restore report_bug handle_bug __report_bug fixup_bug
		crash_kexec __crash_kexec machine_kexec crash_setup_regs kmsg_dump kmsg_dump_desc
		exc_* asm_exc_* page_fault do_page_fault __do_page_fault do_async_page_fault async_page_fault do_user_addr_fault
		do_kern_addr_fault bad_area bad_area_nosemaphore __bad_area __bad_area_nosemaphore no_context
		page_fault_oops kernelmode_fixup_or_oops general_protection do_general_protection
		invalid_op do_invalid_op divide_error do_divide_error do_trap do_error_trap double_fault do_double_fault
		error_entry error_exit error_code do_int3 int3 handle_stack_overflow
		do_mem_abort do_translation_fault do_bad_area __do_kernel_fault do_kernel_fault do_sea do_undefinstr
		do_el1_undef bug_handler call_break_hook brk_handler do_debug_exception do_el1_brk64 el1_brk64
		el1_sync el1h_64_sync* el1_abort el1_dbg el1_undef el1_sync_handler el1h_64_error* el1_pc bad_mode
		nmi_cpu_backtrace nmi_trigger_cpumask_backtrace arch_trigger_cpumask_backtrace nmi_cpu_backtrace_handler
		nmi_handle do_nmi default_do_nmi end_repeat_nmi nmi exc_nmi asm_exc_nmi unknown_nmi_error nmi_restore
		rcu_dump_cpu_stacks rcu_check_callbacks print_cpu_stall print_other_cpu_stall check_cpu_stall
		rcu_sched_clock_irq panic_on_rcu_stall rcu_pending rcu_dump_task
		watchdog_timer_fn watchdog_overflow_callback watchdog_hardlockup_check watchdog_buddy_check_hardlockup
		softlockup_fn perf_event_overflow __perf_event_overflow perf_event_nmi_handler intel_pmu_handle_irq
		x86_pmu_handle_irq lockup_detector* hpwdt_pretimeout
		watchdog check_hung_task check_hung_uninterruptible_tasks hung_task_panic debug_show_blocker
		print_report kasan_report kasan_report_invalid_free __kasan_report print_address_description* end_report
		kasan_check_range check_memory_region __asan_* __hwasan_* kasan_end_report kasan_byte_accessible
		kfence_report_error kfence_handle_page_fault kfence_guarded_free kfence_protect_page
		ubsan_epilogue __ubsan_handle_* handle_overflow ubsan_prologue val_to_string
		print_circular_bug* check_noncircular check_prev_add validate_chain __lock_acquire lock_acquire
		lockdep_rcu_suspicious print_usage_bug* mark_lock* print_unlock_imbalance_bug* lock_release debug_check_no_locks*
		__might_sleep ___might_sleep __might_resched __schedule_bug check_preemption_disabled
		debug_smp_processor_id __this_cpu_preempt_check
		__stack_chk_fail fortify_panic __fortify_panic __fortify_report usercopy_abort __check_object_size
		check_stack_object __check_heap_object check_heap_object
		object_err slab_err print_trailer slab_bug slab_fix report_slab* free_debug_processing
		alloc_debug_processing check_bytes_and_report check_object on_freelist slab_pad_check check_slab
		bad_page bad_page_fault print_bad_pte dump_page free_page_is_bad free_pages_check* check_new_page*
		dump_header out_of_memory oom_kill_process __alloc_pages_may_oom mem_cgroup_out_of_memory
		pagefault_out_of_memory
		mce_panic do_machine_check machine_check mce_end mce_start ghes_panic __ghes_panic ghes_notify_nmi
		sysrq_handle_crash __handle_sysrq handle_sysrq write_sysrq_trigger sysrq_handle_* sysrq_reset_seq_param_set
		smp_call_function_many_cond_dump csd_lock_wait_toolong`,
	roleIdle: `
		default_idle native_safe_halt safe_halt pv_native_safe_halt default_idle_call do_idle cpu_startup_entry
		cpu_idle arch_cpu_idle rest_init start_kernel start_secondary secondary_startup_64*
		x86_64_start_kernel x86_64_start_reservations arch_call_rest_init arch_cpu_idle_exit common_startup_64
		cpuidle_enter cpuidle_enter_state cpuidle_idle_call intel_idle* mwait_idle* acpi_idle_* poll_idle
		cpu_do_idle secondary_start_kernel __secondary_switched call_cpuidle acpi_safe_halt acpi_idle_enter
		__sched_text_end amd_e400_idle __primary_switched i386_start_kernel startup_64`,
	roleEntry: `
		do_syscall_64 do_syscall_x64 x64_sys_call entry_SYSCALL* entry_INT80* do_int80* ret_from_sys_call
		system_call* sysenter* do_fast_syscall_32 do_syscall_32* __do_fast_syscall_32 tracesys int_with_check
		__x64_sys_* __ia32_sys_* __arm64_sys_* __se_sys_* __do_sys_* ksys_* sys_* SyS_* SYSC_* compat_sys_*
		__riscv_sys_* __s390x_sys_* __se_compat_sys_* do_sys_* do_writev do_readv do_preadv do_pwritev
		invoke_syscall el0_svc* do_el0_svc el0_sync* el0t_64_sync* el0_svc_naked __sys_trace_return
		vfs_write vfs_read __vfs_write __vfs_read new_sync_write new_sync_read do_iter_write do_iter_read
		do_iter_readv_writev vfs_writev vfs_readv vfs_ioctl do_vfs_ioctl proc_reg_write proc_reg_read
		proc_reg_unlocked_ioctl proc_reg_open pde_* kernfs_fop_write* kernfs_fop_read* sysfs_kf_write sysfs_write_file
		dev_attr_store kobj_attr_store full_proxy_* vfs_open do_dentry_open do_open path_openat do_filp_open
		kthread kthread_worker_fn ret_from_fork* worker_thread process_one_work process_scheduled_works rescuer_thread
		kernel_thread_helper child_rip kernel_thread_starter smpboot_thread_fn run_ksoftirqd
		do_exit do_group_exit complete_and_exit make_task_dead rewind_stack_and_make_dead get_signal
		do_one_initcall do_init_module load_module init_module finit_module idempotent_init_module kernel_init
		kernel_init_freeable do_initcalls kernel_init_module
		syscall_exit_to_user_mode* exit_to_user_mode* do_notify_resume task_work_run irqentry_exit*
		ret_to_user work_pending cpu_stopper_thread`,
	roleIRQ: `
		asm_sysvec_* sysvec_* __sysvec_* asm_common_interrupt common_interrupt __common_interrupt asm_call_irq_on_stack
		asm_call_sysvec_on_stack asm_call_on_stack run_irq_on_irqstack_cond ret_from_intr do_IRQ
		apic_timer_interrupt smp_apic_timer_interrupt reschedule_interrupt smp_reschedule_interrupt call_function_interrupt
		call_function_single_interrupt smp_call_function_interrupt smp_call_function_single_interrupt
		irq_work_interrupt smp_irq_work_interrupt el1_irq el1_interrupt el1h_64_irq* el1h_64_fiq* el0_irq* el0t_64_irq*
		el0_interrupt do_interrupt_handler call_on_irq_stack gic_handle_irq __handle_domain_irq handle_domain_irq
		generic_handle_domain_irq generic_handle_irq handle_IRQ do_irq ret_from_exception
		call_softirq do_softirq_own_stack`,
	roleLock: `
		_raw_spin_* __raw_spin_* _spin_* native_queued_spin_lock_slowpath queued_spin_lock_slowpath
		pv_queued_spin_lock_slowpath __pv_queued_spin_lock_slowpath do_raw_spin_* queued_read_lock_slowpath
		queued_write_lock_slowpath _raw_read_* _raw_write_* __ticket_spin_lock* spin_bug ticket_spin_lock_wait
		rt_spin_* resilient_queued_spin_lock_slowpath __rcu_read_lock __rcu_read_unlock
		mutex_lock* __mutex_lock* mutex_unlock __mutex_unlock_slowpath* mutex_trylock mutex_spin_on_owner
		mutex_optimistic_spin osq_lock down down_read* down_write* down_interruptible down_killable down_timeout
		down_trylock __down* up up_read* up_write* __up_read __up_write rwsem_* call_rwsem_* percpu_down_*
		percpu_up_* __percpu_down_* rt_mutex_* __rt_mutex_* ww_mutex_* __ww_mutex_* lock_sock_nested __lock_sock
		bit_spin_lock arch_spin_lock lock_page __lock_page* __folio_lock* folio_lock queued_spin_unlock
		_raw_*_unlock* percpu_rwsem_wait smp_call_function_single smp_call_function_many*
		smp_call_function on_each_cpu* csd_lock_wait generic_exec_single`,
	roleSleep: `
		schedule __schedule schedule_timeout* schedule_preempt_disabled schedule_idle io_schedule* __cond_resched
		_cond_resched preempt_schedule* schedule_hrtimeout* wait_for_completion* wait_for_common __wait_for_common
		do_wait_for_common bit_wait* __wait_on_bit* out_of_line_wait_on_bit* wait_on_page_bit* folio_wait_bit*
		wait_woken __wait_event* prepare_to_wait* finish_wait wait_for_random* msleep* usleep_range*
		synchronize_* __wait_rcu_gp wait_rcu_gp flush_work __flush_work flush_workqueue __flush_workqueue
		cancel_work_sync __cancel_work* cancel_delayed_work_sync kthread_stop __switch_to __switch_to_asm context_switch
		rcu_barrier do_wait __do_wait do_nanosleep hrtimer_nanosleep* common_nsleep refrigerator
		__refrigerator`,
	roleMemory: `
		memcpy* memset* memmove* memcmp memchr* memscan __memcpy* __memset* __memmove* __memcmp memcpy_orig memset_orig strlen strnlen strcmp strncmp strcpy strncpy strlcpy strscpy strcat strlcat strchr strrchr
		strstr strsep kstrdup kstrndup kmemdup* bcmp csum_partial* copy_user_* copy_to_user copy_from_user _copy_*
		__copy_* copy_page* clear_page* clear_user* __clear_user rep_movs_alternative rep_stos_alternative
		raw_copy_* __arch_copy_* __get_user* __put_user* copyin copyout _copy_to_iter _copy_from_iter
		kfree* __kfree* kvfree* vfree __vfree kmem_cache_free* __kmem_cache_free* __slab_free do_slab_free slab_free*
		___cache_free __cache_free free_block set_freepointer get_freepointer* free_to_partial_list cache_free_debugcheck
		kmem_cache_alloc* kmalloc* __kmalloc* kzalloc* krealloc* __do_kmalloc* slab_alloc* ___slab_alloc __slab_alloc
		slab_post_alloc_hook allocate_slab new_slab get_partial* alloc_slab_page kmem_cache_destroy
		__alloc_pages* alloc_pages* __alloc_frozen_pages* get_page_from_freelist __get_free_pages
		get_free_pages get_zeroed_page __free_pages* free_pages* free_unref_page* __free_one_page free_pcppages_bulk
		free_frozen_pages* rmqueue* expand vmalloc* __vmalloc* kvmalloc* __kvmalloc* pagecache_get_page folio_alloc*
		__folio_alloc* vma_alloc_folio* alloc_frozen_pages* __page_frag_alloc* page_frag_alloc*
		free_large_kmalloc __put_page put_page __folio_put release_pages`,
	roleList: `
		__list_add_valid* __list_del_entry_valid* __list_del_entry list_del* list_add* __list_add __list_del
		refcount_warn_saturate refcount_* kref_put kref_get kobject_put kobject_get put_device get_device
		rb_insert_color rb_erase* rb_next rb_prev rb_first rb_last __rb_insert_augmented __rb_erase_color radix_tree_* __radix_tree_* xas_* xa_* __xa_* idr_* llist_* plist_* hlist_*
		timerqueue_add timerqueue_del _find_next_bit* find_next_bit* _find_first_bit bitmap_* __bitmap_*
		raw_notifier_call_chain notifier_call_chain atomic_notifier_call_chain blocking_notifier_call_chain
		__atomic_notifier_call_chain`,
	roleTimer: `
		call_timer_fn expire_timers __run_timers run_timer_softirq run_timer_base __run_timer_base tasklet_action*
		tasklet_hi_action handle_softirqs __do_softirq do_softirq irq_exit irq_exit_rcu __irq_exit_rcu invoke_softirq
		__local_bh_enable_ip local_bh_enable __softirqentry* ____do_softirq
		__flush_smp_call_function_queue flush_smp_call_function_queue generic_smp_call_function_single_interrupt
		generic_smp_call_function_interrupt __sysvec_call_function* irq_work_run irq_work_run_list irq_work_single
		__hrtimer_run_queues hrtimer_interrupt __run_hrtimer hrtimer_run_queues hrtimer_run_softirq
		tick_sched_timer tick_sched_handle* tick_nohz_handler tick_nohz_irq_exit update_process_times tick_periodic
		tick_handle_periodic tick_handle_oneshot_broadcast arch_timer_handler_* local_apic_timer_interrupt
		timer_interrupt scheduler_tick sched_tick
		handle_irq_event* __handle_irq_event_percpu handle_edge_irq handle_fasteoi_irq handle_level_irq handle_irq
		handle_percpu_devid_irq handle_simple_irq ipi_handler do_handle_IPI handle_IPI
		rcu_core* rcu_do_batch rcu_process_callbacks __rcu_process_callbacks rcu_cpu_kthread invoke_rcu_core
		rcu_nocb_cb_kthread srcu_invoke_callbacks net_rx_action __napi_poll napi_poll napi_complete_done
		blk_done_softirq blk_complete_reqs delayed_work_timer_fn try_to_wake_up default_wake_function __wake_up*
		autoremove_wake_function wake_up_process complete complete_all swake_up_*`,
}

// roles is the table taken apart: exact names, and the beginnings of names.
var roles, rolePrefixes = splitPlumbing()

func splitPlumbing() (exact, prefixes map[string]role) {
	exact, prefixes = make(map[string]role), make(map[string]role)
	for r, names := range plumbing {
		for _, n := range strings.Fields(names) {
			if begin, many := strings.CutSuffix(n, "*"); many {
				prefixes[begin] = max(prefixes[begin], r)
			} else {
				exact[n] = max(exact[n], r)
			}
		}
	}
	return exact, prefixes
}

// roleOf is the role of a function. The longest beginning decides where no whole name does.
func roleOf(function string) role {
	name := Function(function)
	if r, ok := roles[name]; ok {
		return r
	}
	for n := len(name); n > 2; n-- {
		if r, ok := rolePrefixes[name[:n]]; ok {
			return r
		}
	}
	return roleNone
}

// suffixes are what compilers put behind the name of a function: clones with changed parameters, outlined cold
// parts, LLVM's promoted statics. _noprof is the kernel's own (memory allocation profiling, 6.10).
var suffixes = []string{".isra", ".constprop", ".part", ".cold", ".llvm", ".lto_priv", ".cfi", ".cfi_jt"}

// Function is a function's name without what the compiler put behind it, so that the same source gives the
// same name in every build.
func Function(name string) string {
	for _, s := range suffixes {
		if i := strings.Index(name, s); i > 0 && (i+len(s) == len(name) || name[i+len(s)] == '.') {
			name = name[:i]
		}
	}
	return strings.TrimSuffix(name, "_noprof")
}
