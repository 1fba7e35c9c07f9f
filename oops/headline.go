package oops

import "bytes"

// class is the part that a headline plays in a report. A report opened by one class absorbs the headlines of
// the classes that follow it within the same report; mergeable has the rules.
type class uint8

const (
	classNone    class = iota
	classRequest       // SysRq output that is not a crash
	classCut           // "cut here": the headline follows
	classHint          // says why, before the report; does not give it its title
	classNote          // names the kind and gives the title, before the report: list_del corruption
	classReport        // a report of a kernel that goes on: WARNING, lockup, KASAN
	classFault         // a report of a kernel that will die: BUG: unable to handle, kernel BUG at
	classDie           // the line that die() prints, with the oops counter
	classPanic
)

// headline is one wording by which a report, or a part of one, begins.
type headline struct {
	prefix string
	has    string // must follow somewhere
	kind   Kind
	class  class
}

// prefixes that subsystems and, since 6.10, die() put before a headline.
var subsystems = []string{"watchdog: ", "NMI watchdog: ", "rcu: ", "traps: ", "mce: ", "Oops: "}

// headlines is searched from the top: a longer prefix stands before a shorter one that it begins with.
// Old and new wordings stand together; kinds whose wording does not tell them are settled in refine.go.
var headlines = []headline{
	{"------------[ cut here ]", "", Unknown, classCut},
	{"Kernel panic - not syncing", "", Panic, classPanic},

	{"SysRq : Trigger a crash", "", SysRq, classNote},
	{"sysrq: SysRq : Trigger a crash", "", SysRq, classNote},
	{"sysrq: Trigger a crash", "", SysRq, classNote},
	{"SysRq : Show ", "", Unknown, classRequest},
	{"sysrq: SysRq : Show ", "", Unknown, classRequest},
	{"sysrq: Show ", "", Unknown, classRequest},

	// Page faults.
	{"BUG: unable to handle kernel NULL pointer dereference", "", NullDereference, classFault},
	{"BUG: kernel NULL pointer dereference", "", NullDereference, classFault},
	{"BUG: Kernel NULL pointer dereference", "", NullDereference, classFault}, // ppc64
	{"BUG: unable to handle kernel paging request", "", PagingFault, classFault},
	{"BUG: unable to handle page fault", "", PagingFault, classFault},
	{"BUG: unable to handle kernel ", "", PagingFault, classFault},
	{"BUG: Unable to handle kernel instruction fetch", "", BadJump, classFault}, // ppc64
	{"BUG: Unable to handle kernel data access", "", PagingFault, classFault},   // ppc64
	{"Unable to handle kernel NULL pointer dereference", "", NullDereference, classFault},
	{"Unable to handle kernel execute from non-executable memory", "", BadJump, classFault},
	{"Unable to handle kernel execution of user memory", "", BadJump, classFault},
	{"Unable to handle kernel paging request for instruction fetch", "", BadJump, classFault}, // ppc64
	{"Unable to handle kernel ", "", PagingFault, classFault},
	{"kernel tried to execute NX-protected page", "", BadJump, classHint},
	{"unable to execute userspace code (SMEP?)", "", BadJump, classHint},
	{"Kernel attempted to ", " user page", PagingFault, classHint}, // ppc64

	// Lines of die(). Each has the oops counter.
	{"general protection fault", "[#", GeneralProtection, classDie},
	{"segment-related general protection fault", "[#", GeneralProtection, classDie},
	{"stack segment: ", "[#", GeneralProtection, classDie},
	{"segment not present: ", "[#", GeneralProtection, classDie},
	{"invalid TSS: ", "[#", GeneralProtection, classDie},
	{"alignment check: ", "[#", GeneralProtection, classDie},
	{"control protection fault: ", "[#", BadJump, classDie},
	{"divide error: ", "[#", DivideError, classDie},
	{"invalid opcode: ", "[#", InvalidOpcode, classDie},
	{"int3: ", "[#", InvalidOpcode, classDie},
	{"double fault: ", "[#", DoubleFault, classDie},
	{"stack guard page: ", "[#", StackOverflow, classDie},
	{"kernel stack overflow", "[#", StackOverflow, classDie},
	{"Kernel stack overflow in process", "", StackOverflow, classFault}, // ppc64
	{"Oops: ", "[#", Unknown, classDie},
	{"Oops - load access fault", "[#", BusError, classDie}, // riscv64
	{"Oops - store (or AMO) access fault", "[#", BusError, classDie},
	{"Oops - illegal instruction", "[#", InvalidOpcode, classDie},
	{"Oops - instruction ", "[#", BadJump, classDie},
	{"Oops [#", "", Unknown, classDie},
	{"Kernel BUG [#", "", Bug, classDie},
	{"Kernel access of bad area", "[#", PagingFault, classDie}, // ppc64, these six
	{"Exception in kernel mode", "[#", InvalidOpcode, classDie},
	{"Machine check, sig", "[#", MachineCheck, classDie},
	{"System Reset, sig", "[#", NMI, classDie},
	{"Bad kernel stack pointer", "[#", StackOverflow, classDie},
	{"Unrecoverable exception", "[#", Unknown, classDie},
	{"monitor event: ", "[#", Bug, classDie}, // s390x, these seven
	{"addressing exception: ", "[#", PagingFault, classDie},
	{"protection exception: ", "[#", PagingFault, classDie},
	{"specification exception: ", "[#", GeneralProtection, classDie},
	{"fixed point divide exception: ", "[#", DivideError, classDie},
	{"illegal operation: ", "[#", InvalidOpcode, classDie},
	{"operation exception: ", "[#", InvalidOpcode, classDie},
	{"Internal error: Oops - BUG", "[#", Bug, classDie}, // arm64, these
	{"Internal error: Oops - Undefined instruction", "[#", InvalidOpcode, classDie},
	{"Internal error: Oops - undefined instruction", "[#", InvalidOpcode, classDie},
	{"Internal error: Oops - BRK", "[#", InvalidOpcode, classDie},
	{"Internal error: Oops - KASAN", "[#", KASAN, classDie},
	{"Internal error: Oops - UBSAN", "[#", UBSAN, classDie},
	{"Internal error: Oops - BTI", "[#", BadJump, classDie},
	{"Internal error: Oops - CFI", "[#", BadJump, classDie},
	{"Internal error: Oops - FPAC", "[#", BadJump, classDie},
	{"Internal error: Oops - GCS", "[#", BadJump, classDie},
	{"Internal error: Oops - SP/PC alignment", "[#", BadJump, classDie},
	{"Internal error: synchronous external abort", "[#", BusError, classDie},
	{"Internal error: synchronous parity", "[#", BusError, classDie},
	{"Internal error: SError", "[#", BusError, classDie},
	{"Internal error: Accessing user space memory", "[#", PagingFault, classDie},
	{"Internal error: Attempting to execute userspace", "[#", BadJump, classDie},
	{"Internal error: ", "[#", Unknown, classDie},

	// Before 6.10 a double fault has a line of its own first.
	{"PANIC: double fault", "", DoubleFault, classNote},
	{"SError Interrupt on CPU", "", BusError, classNote},
	{"Bad mode in ", " handler detected on CPU", BusError, classNote},
	{"Unhandled ", " exception on CPU", InvalidOpcode, classNote},

	// Stacks.
	{"BUG: ", "stack guard page was hit at", StackOverflow, classFault},
	{"BUG: stack guard page", "", StackOverflow, classFault},
	{"Insufficient stack space to handle exception!", "", StackOverflow, classFault},
	{"Thread overran stack", "", StackOverflow, classHint},
	{"Corrupt kernel stack, can't continue", "", StackOverflow, classFault},          // s390x
	{"Invalid kernel stack pointer, cannot continue", "", StackOverflow, classFault}, // s390x

	// BUG() and what is printed before it.
	{"kernel BUG at ", "", Bug, classFault},
	{"Kernel BUG at ", "", Bug, classFault},
	{"list_add corruption", "", ListCorruption, classNote},
	{"list_add double add", "", ListCorruption, classNote},
	{"list_del corruption", "", ListCorruption, classNote},
	{"refcount_t: ", "", Refcount, classNote},
	{"usercopy: ", "detected", Fortify, classNote},
	{"CFI failure", "", BadJump, classNote},
	{"Missing ENDBR", "", BadJump, classNote},

	// Sanitizers and checks of memory.
	{"BUG: KASAN: ", "", KASAN, classReport},
	{"BUG: KFENCE: ", "", KASAN, classReport},
	{"BUG: KMSAN: ", "", KASAN, classReport},
	{"UBSAN: ", "", UBSAN, classReport},
	{"BUG ", "ainted", Bug, classReport}, // SLUB: BUG kmalloc-64 (Tainted: G): Poison overwritten
	{"BUG: Bad page ", "", Bug, classReport},

	// Lockups, stalls, hung tasks.
	{"BUG: soft lockup", "", SoftLockup, classReport},
	{"BUG: NMI Watchdog detected LOCKUP", "", HardLockup, classReport},
	{"BUG: workqueue lockup", "", Watchdog, classReport},
	{"BUG: spinlock lockup", "", SoftLockup, classReport},
	{"INFO: rcu_", "stall", RCUStall, classReport},
	{"INFO: RCU detected", "", RCUStall, classReport},
	{"INFO: task ", " for more than ", HungTask, classReport},

	// Locking and context rules.
	{"BUG: scheduling while atomic", "", AtomicSleep, classReport},
	{"BUG: sleeping function called", "", AtomicSleep, classReport},
	{"BUG: using ", "in preemptible", AtomicSleep, classReport},
	{"WARNING: possible ", "detected", Lockdep, classReport},
	{"WARNING: inconsistent lock state", "", Lockdep, classReport},
	{"WARNING: suspicious RCU usage", "", Lockdep, classReport},
	{"WARNING: bad unlock balance", "", Lockdep, classReport},
	{"WARNING: lock held when returning", "", Lockdep, classReport},
	{"WARNING: Nested lock was not taken", "", Lockdep, classReport},
	{"INFO: possible ", "detected", Lockdep, classReport},
	{"INFO: suspicious RCU usage", "", Lockdep, classReport},
	{"INFO: inconsistent lock state", "", Lockdep, classReport},
	{"INFO: trying to register non-static key", "", Lockdep, classReport},
	{"[ INFO: ", "", Lockdep, classReport},
	{"[ BUG: ", "", Lockdep, classReport},

	// NMIs and machine checks.
	{"Uhhuh. NMI received", "", NMI, classNote},
	{"NMI: PCI system error (SERR)", "", NMI, classNote},
	{"NMI: IOCK error", "", NMI, classNote},
	{"[Hardware Error]: CPU ", "Machine Check", MachineCheck, classNote},
	{"CPU ", ": Machine Check Exception: ", MachineCheck, classNote}, // 2.6.32

	{"WARNING: ", "+0x", Warn, classReport},
	{"BUG: ", "", Bug, classReport},
}

// infixes are wordings that begin with something else: a command's name, a function, a CPU. Each is searched
// by its first word alone, since that costs a pass over every line.
var infixes = []struct {
	search    []byte
	headlines []headline
}{
	{[]byte(" invoked "), []headline{{" invoked oom-killer: ", "", OutOfMemory, classReport}}},
	{[]byte("detected "), []headline{
		{"detected hard LOCKUP on cpu", "", HardLockup, classReport},
		{"detected buffer overflow", "", Fortify, classNote},
	}},
}

// headlineIndex is headlines by first byte.
var headlineIndex = indexHeadlines()

func indexHeadlines() (index [256][]headline) {
	for _, h := range headlines {
		index[h.prefix[0]] = append(index[h.prefix[0]], h)
	}
	return index
}

// match finds the headline that msg is. It decides for nearly every line of a log that it is none, so it looks
// at the first byte before anything else.
func match(msg []byte) (headline, bool) {
	msg = msg[blanks(msg):]
	if h, ok := matchPrefix(msg); ok {
		return h, true
	}
	for _, s := range subsystems {
		if len(msg) > len(s) && msg[0] == s[0] && string(msg[:len(s)]) == s {
			return matchPrefix(msg[len(s):])
		}
	}
	return headline{}, false
}

// matchAll is match and, behind it, the wordings that begin with any word.
func matchAll(msg []byte) (headline, bool) {
	if h, ok := match(msg); ok {
		return h, ok
	}
	for _, in := range infixes {
		at := bytes.Index(msg, in.search)
		if at < 0 {
			continue
		}
		for _, h := range in.headlines {
			if bytes.HasPrefix(msg[at:], []byte(h.prefix)) {
				return h, true
			}
		}
	}
	return headline{}, false
}

func matchPrefix(msg []byte) (headline, bool) {
	if len(msg) == 0 {
		return headline{}, false
	}
	for _, h := range headlineIndex[msg[0]] {
		if len(msg) >= len(h.prefix) && string(msg[:len(h.prefix)]) == h.prefix &&
			(h.has == "" || bytes.Contains(msg[len(h.prefix)-1:], []byte(h.has))) {
			return h, !dieWord(msg, h)
		}
	}
	return headline{}, false
}

// dieWord reports whether msg is "Oops: WORD", the form of die() since 6.10, where WORD and not Oops is the
// headline. An error code is four digits.
func dieWord(msg []byte, h headline) bool {
	return h.prefix == "Oops: " && run(msg[len(h.prefix):], isHex) < 4
}
