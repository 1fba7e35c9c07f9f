package oops

// Kind says what kind of failure a report is about.
type Kind string

// The kinds of failures. They are words of kautopsy's output: none is ever renamed.
const (
	SysRq             Kind = "sysrq"              // a crash asked for through SysRq
	NullDereference   Kind = "null-dereference"   // access to the first page
	PagingFault       Kind = "paging-fault"       // access to an address that is not mapped, or not so
	GeneralProtection Kind = "general-protection" // non-canonical address, or a descriptor or register fault
	BadJump           Kind = "bad-jump"           // execution of what is not code, or not a valid target
	DivideError       Kind = "divide-error"
	InvalidOpcode     Kind = "invalid-opcode"
	Bug               Kind = "bug"   // BUG(), BUG_ON() and state that the kernel calls a bug
	Panic             Kind = "panic" // panic() for a reason that has no kind of its own
	Warn              Kind = "warn"
	SoftLockup        Kind = "soft-lockup"
	HardLockup        Kind = "hard-lockup"
	HungTask          Kind = "hung-task"
	RCUStall          Kind = "rcu-stall"
	OutOfMemory       Kind = "out-of-memory"
	NMI               Kind = "nmi" // a non-maskable interrupt from outside
	MachineCheck      Kind = "machine-check"
	StackOverflow     Kind = "stack-overflow" // also a stack whose end mark or canary is destroyed
	DoubleFault       Kind = "double-fault"
	ListCorruption    Kind = "list-corruption"
	UseAfterFree      Kind = "use-after-free"
	DoubleFree        Kind = "double-free"
	Refcount          Kind = "refcount"
	Fortify           Kind = "fortify" // FORTIFY_SOURCE and hardened usercopy
	KASAN             Kind = "kasan"   // KASAN and KFENCE
	UBSAN             Kind = "ubsan"
	AtomicSleep       Kind = "atomic-sleep"
	Lockdep           Kind = "lockdep"
	InitKilled        Kind = "init-killed"
	NoRoot            Kind = "no-root"
	NoInit            Kind = "no-init"
	Watchdog          Kind = "watchdog"  // a watchdog device's pretimeout, or the workqueue watchdog
	BusError          Kind = "bus-error" // external abort, SError, a parity or bus error
	None              Kind = "none"      // no crash: a dump taken from outside
	Unknown           Kind = "unknown"
)

// fatalKinds are the kinds whose reports end in die() or panic(): after them the task, or the machine, is gone.
// The others are printed by a kernel that goes on, unless a setting makes it panic.
var fatalKinds = map[Kind]bool{
	SysRq: true, NullDereference: true, PagingFault: true, GeneralProtection: true, BadJump: true,
	DivideError: true, InvalidOpcode: true, Panic: true, StackOverflow: true, DoubleFault: true,
	InitKilled: true, NoRoot: true, NoInit: true, BusError: true,
}
