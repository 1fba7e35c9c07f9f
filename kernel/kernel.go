// Package kernel understands the Linux kernel inside a dump: its addresses, its symbols, its
// log, and what it says of itself. It asks no kernel version: a member, a symbol or a shape
// is looked for, and the first form that fits is taken.
//
//	kernel.go    Open; what is missing, as data
//	address.go   virtual memory: image, direct map, page tables
//	symbol.go    names and addresses: kallsyms in memory, modules; symbol_vmlinux.go what
//	             vmlinux adds where kallsyms has no names
//	types.go     types: BTF in memory, else debug information; types_module.go those of modules,
//	             types_object.go reads by them
//	value.go     values with all their members, value_text.go prints them; expr.go names them as C does
//	search.go    values and texts in all of memory
//	log.go       the log, whichever of its three forms the kernel has
//	system.go    the banner: release, date, load, tasks, memory; dmi.go: the machine as its firmware names it
//	cpus.go      which processors were online, and whose registers the notes hold; percpu.go their variables
//	task.go      tasks, by the types; task_args.go, task_times.go what else is known of them
//	user.go      the memory of processes
//	runqueue.go  the run queue of each CPU; find.go what no symbol leads to
//	types_list.go, types_tree.go   the kernel's containers: rbtree.go, xarray.go, idr.go, mapletree.go
//	stack.go     unwinding: orc.go, cfi.go by call frame information, framerecord.go, and a
//	             marked guess where none of them helps;
//	             stack_memory.go what else lies on a stack
//	locals.go    arguments and local variables of frames, locals_registers.go what the frames have
//	             kept, locals_value.go, locals_text.go
//	debuginfo.go vmlinux and the files of modules, and where in the dump their code lies
//
// Every answer fails alone: a dump without page tables still has a log, one without a log
// still has symbols.
package kernel

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/kautopsy/kautopsy/internal/arch"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/vmcore"
)

// Options of Open; the zero value (or nil) is what a user wants.
type Options struct {
	// Context bounds what Open may take: the dump of a hypervisor that left no
	// VMCOREINFO is scanned for one, all of its memory if need be. It bounds as well what
	// questions without a context of their own read of debug information. nil is
	// context.Background().
	Context context.Context

	// DebugInfo finds vmlinux and the files of modules, which add source lines; nil: none.
	// Nothing is asked of it before an answer needs it.
	DebugInfo DebugInfo

	// CacheDir is a folder for what was found out of debug information and need not be
	// found out again; "" keeps nothing. What is wrong with it is no error.
	CacheDir string

	// IgnoreBTF takes types from DebugInfo as if the kernel had none of its own: to
	// compare them, and to see what a kernel without BTF gets.
	IgnoreBTF bool

	// Kallsyms says how much of the kernel's own symbol table is taken; the zero value is
	// all of it. Less is for the same ends as IgnoreBTF.
	Kallsyms Kallsyms
}

// Kallsyms is how much a kernel names of itself.
type Kallsyms int

// What kernels name.
const (
	KallsymsAll       Kallsyms = iota // functions and data, as CONFIG_KALLSYMS_ALL does
	KallsymsFunctions                 // functions, as without CONFIG_KALLSYMS_ALL
	KallsymsNone                      // nothing, as without CONFIG_KALLSYMS
)

// Kernel is the kernel in a dump. It is safe for many goroutines.
type Kernel struct {
	ctx  context.Context // of Options
	dump *vmcore.Dump
	info *vmcore.VMCoreInfo // nil: see infoErr
	arch arch.Arch          // nil: see archErr
	spc  arch.Space         // nil: see spaceErr

	infoErr, archErr, spaceErr error

	ownOnce sync.Once // of kallsyms in memory
	own     *symbols.Table
	ownErr  error

	symOnce sync.Once
	table   *symbols.Table
	symErr  error
	fileErr error // why vmlinux did not add to it

	exportOnce sync.Once
	exported   *symbols.Table

	btfOnce sync.Once
	btf     *symbols.BTF
	btfErr  error

	enumOnce sync.Once
	enums    map[string]*symbols.Type // by the names of their constants

	modMu   sync.Mutex
	modRead bool
	modules []Module
	modErr  error

	allOnce sync.Once
	all     *symbols.Table

	firstOnce sync.Once // of what no symbol leads to
	first     Object
	firstErr  error

	onlineOnce sync.Once
	onlineCPUs []int
	onlineErr  error

	percpuOnce sync.Once
	percpu     []uint64

	debug      DebugInfo // nil: none
	cacheDir   string
	ignoreBTF  bool
	kallsyms   Kallsyms
	ignoreORC  bool // for tests of stacks without it
	debugMu    sync.Mutex
	debugFiles map[string]*debugAnswer // by module

	threadsHold sync.Map // task_struct of a process's leader -> pages: heldByThreads

	rqMu sync.Mutex
	rqs  map[int]Object // where no symbol leads to them
}

// Open finds the kernel in a dump. It fails only when the dump has nothing of a kernel that
// could be asked; what else is not there fails where it is asked for.
func Open(d *vmcore.Dump, o *Options) (*Kernel, error) {
	ctx := context.Background()
	if o != nil && o.Context != nil {
		ctx = o.Context
	}
	k := &Kernel{ctx: ctx, dump: d}
	if o != nil {
		k.debug, k.cacheDir, k.ignoreBTF, k.kallsyms = o.DebugInfo, o.CacheDir, o.IgnoreBTF, o.Kallsyms
	}
	k.info, k.infoErr = d.VMCoreInfo(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if k.infoErr != nil && !errors.Is(k.infoErr, vmcore.ErrNoVMCoreInfo) {
		return nil, k.infoErr
	}
	if k.arch, k.archErr = d.Arch(); k.archErr != nil {
		k.spaceErr = k.archErr
		return k, nil
	}
	k.spc, k.spaceErr = k.arch.Space(d.Hints(k.info), d)
	return k, nil
}

// Dump is the dump that the kernel is in.
func (k *Kernel) Dump() *vmcore.Dump { return k.dump }

// Info is the kernel's VMCOREINFO, or why there is none.
func (k *Kernel) Info() (*vmcore.VMCoreInfo, error) {
	if k.info == nil {
		return nil, k.needInfo()
	}
	return k.info, nil
}

// needInfo is what an answer that needs VMCOREINFO says when there is none.
func (k *Kernel) needInfo() error {
	return fmt.Errorf("%w, neither in its notes nor in its memory (give its text with --vmcoreinfo FILE)", k.infoErr)
}

// PageSize is the kernel's page size, which can differ from the dump's block size.
func (k *Kernel) PageSize() int {
	if k.info != nil && k.info.PageSize() != 0 {
		return k.info.PageSize()
	}
	return min(k.dump.PageSize(), 4096)
}

// Machine is the machine as uname -m names it, "" if unknown.
func (k *Kernel) Machine() string {
	if k.arch == nil {
		return ""
	}
	return k.arch.Info().Name
}

// ptrSize is the size of a pointer of the crashed machine.
func (k *Kernel) ptrSize() int {
	if k.arch != nil {
		return k.arch.Info().PtrSize
	}
	if k.dump.Header.PtrSize != 0 {
		return k.dump.Header.PtrSize
	}
	return 8
}

// PtrSize is the size of a pointer of the crashed machine, in bytes.
func (k *Kernel) PtrSize() int { return k.ptrSize() }
