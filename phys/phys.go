// Package phys holds the words every floor of kautopsy shares: page frame
// numbers, physical addresses, spans of them, and the reasons why memory of the
// crashed machine cannot be had.
//
// A dump never holds all memory. Every read of it ends in bytes or in one error
// that wraps exactly one of the reasons below (errors.Is) and says where
// (errors.As with *PageError). A zero is never invented for an absent byte.
//
//	if errors.Is(err, phys.ErrExcluded) { … }          // left out on purpose
//	var pe *phys.PageError
//	if errors.As(err, &pe) { fmt.Println(pe.Span) }     // where
package phys

import (
	"errors"
	"fmt"
	"math/bits"
)

// Addr is a physical address of the crashed machine, in bytes.
type Addr uint64

// PFN is a page frame number: a physical address divided by the page size of
// the container that is being read. That size is the container's block size,
// which may be larger than the kernel's page (QEMU writes 64 KiB blocks for
// every arm64 guest), so a PFN only means something beside its page size.
type PFN uint64

// Span is a half-open run of physical memory in bytes. It is in bytes and not in
// pages because ELF segments need neither begin nor end on a page.
type Span struct {
	Start, End Addr
}

// PageSpan is the span of n pages of the given size from p on. It saturates at
// the end of the 64-bit address space.
func PageSpan(p PFN, n uint64, pageSize int) Span {
	end := uint64(p) + n
	if end < n {
		end = ^uint64(0)
	}
	return Span{pageAddr(uint64(p), pageSize), pageAddr(end, pageSize)}
}

func pageAddr(p uint64, pageSize int) Addr {
	hi, lo := bits.Mul64(p, uint64(pageSize))
	if hi != 0 {
		return ^Addr(0)
	}
	return Addr(lo)
}

// Len is the number of bytes in the span.
func (s Span) Len() uint64 {
	if s.End < s.Start {
		return 0
	}
	return uint64(s.End - s.Start)
}

// Contains tells whether a lies inside the span.
func (s Span) Contains(a Addr) bool { return s.Start <= a && a < s.End }

// String prints the span as "0x1000-0x2000", the end exclusive.
func (s Span) String() string { return fmt.Sprintf("%#x-%#x", uint64(s.Start), uint64(s.End)) }

// The reasons why memory cannot be had. Excluded and Hole are the normal state of
// a dump; Lost and Corrupt are accidents, and an answer that met one of them is
// partial; Unsupported and Limit are ours.
var (
	// ErrExcluded: a page of the machine that the dump filter left out (makedumpfile -d).
	ErrExcluded = errors.New("excluded by the dump filter")
	// ErrHole: the machine has no memory there.
	ErrHole = errors.New("no memory there")
	// ErrLost: the page should be in the file and is not: truncation, a missing
	// part of a split set, an incomplete capture.
	ErrLost = errors.New("lost from the dump")
	// ErrCorrupt: in the file, and undecodable, against its format or failing its checksum.
	ErrCorrupt = errors.New("corrupt")
	// ErrUnmapped: a virtual address that the kernel's page tables do not translate.
	ErrUnmapped = errors.New("not mapped")
	// ErrUnsupported: a form that this version does not read.
	ErrUnsupported = errors.New("not supported")
	// ErrLimit: a bound that the caller or the program set was reached.
	ErrLimit = errors.New("limit reached")
)

// reasons in the order in which Reason looks for them.
var reasons = []error{ErrExcluded, ErrHole, ErrLost, ErrCorrupt, ErrUnmapped, ErrUnsupported, ErrLimit}

// Reason returns the reason that err wraps, or nil when it wraps none of them
// (an I/O error of the disk under the file, for example).
func Reason(err error) error {
	for _, r := range reasons {
		if errors.Is(err, r) {
			return r
		}
	}
	return nil
}

// Damage tells whether err is an accident (lost or corrupt) and not a normal state of a
// dump: only those make an answer partial by themselves.
func Damage(err error) bool { return errors.Is(err, ErrLost) || errors.Is(err, ErrCorrupt) }

// PageError says why and where physical memory could not be read.
type PageError struct {
	Op   string // what was being done: "read", "decompress", "read descriptor"
	Span Span   // the physical memory that is missing
	Off  int64  // offset in the file, -1 when there is none
	Err  error  // wraps exactly one of the reasons
}

// Error reads like "decompress physical 0x1a3f000-0x1a40000 at file offset 0x4018: corrupt".
func (e *PageError) Error() string {
	if e.Off < 0 {
		return fmt.Sprintf("%s physical %v: %v", e.Op, e.Span, e.Err)
	}
	return fmt.Sprintf("%s physical %v at file offset %#x: %v", e.Op, e.Span, e.Off, e.Err)
}

// Unwrap gives the reason to errors.Is.
func (e *PageError) Unwrap() error { return e.Err }

// Reader reads physical memory.
type Reader interface {
	// ReadPhys fills p with the memory at a. n is the number of bytes before
	// the first absence; n < len(p) exactly when err is not nil, and err then
	// wraps one of the reasons and, as *PageError, names the absent span. It
	// is safe for many goroutines; p belongs to the caller.
	ReadPhys(p []byte, a Addr) (n int, err error)
}

// Run is a run of pages of one state, as a container tells it without reading the
// pages: Why is nil for pages that are in the file, else the reason.
type Run struct {
	Start, End PFN // half-open
	Why        error
}

// Len is the number of pages in the run.
func (r Run) Len() uint64 {
	if r.End < r.Start {
		return 0
	}
	return uint64(r.End - r.Start)
}
