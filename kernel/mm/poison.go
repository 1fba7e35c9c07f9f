package mm

import (
	"fmt"
	"math/bits"
	"strings"
)

// The values of include/linux/poison.h. The list poisons are offsets from an address that
// no processor translates (CONFIG_ILLEGAL_POINTER_VALUE, the same on all 64-bit processors
// that have one).
const illegalPointer = 0xdead000000000000

// poisons are pointers that the kernel writes into what it has done with, and what they say.
var poisons = []struct {
	value uint64
	name  string
	says  string
}{
	{illegalPointer + 0x100, "LIST_POISON1", "next of a list entry that was deleted (list_del), or of an hlist entry"},
	{illegalPointer + 0x122, "LIST_POISON2", "prev of a list entry that was deleted (list_del)"},
	{illegalPointer + 0x200, "LIST_POISON2", "prev of a list entry that was deleted (list_del, before 4.14)"},
	{illegalPointer + 0x300, "TIMER_ENTRY_STATIC", "entry of a timer that is not queued"},
	{illegalPointer + 0x400, "POISON_POINTER_DELTA+0x400", "entry of a timer or work item that was deleted"},
	{illegalPointer + 0x100100, "LIST_POISON1", "next of a list entry that was deleted (list_del, before 4.3)"},
	{illegalPointer + 0x200200, "LIST_POISON2", "prev of a list entry that was deleted (list_del, before 4.3)"},
	{0xdead4ead, "SPINLOCK_MAGIC", "magic of a spin lock"},
	{0x57ac6e9d, "STACK_END_MAGIC", "last word of a kernel stack"},
}

// patterns are the bytes with which the kernel fills memory.
var patterns = []struct {
	value byte
	name  string
	says  string
}{
	{0x6b, "POISON_FREE", "read from a slab object that was freed (use after free)"},
	{0x5a, "POISON_INUSE", "read from a slab object that was allocated and never written"},
	{0xa5, "POISON_END", "last byte of a poisoned slab object"},
	{0xbb, "SLUB_RED_INACTIVE", "red zone of a free slab object (access out of bounds)"},
	{0xcc, "SLUB_RED_ACTIVE", "red zone of a slab object in use (access out of bounds), or initial memory that was freed"},
	{0xaa, "PAGE_POISON", "read from a page that was freed"},
	{0xfe, "pattern", "uninitialized local variable (CONFIG_INIT_STACK_ALL_PATTERN 0xfe…)"},
}

// near is how far from a poison an access lies that goes through it: offsets of members.
const near = 4096

// poison tells what a value is that the kernel writes in place of an address. offset is what
// was added to it.
func poison(va uint64, ptr int) (name, says string, offset int64, ok bool) {
	const member = 0x80 // what is added to a poison is small: the next one is near
	best := uint64(0)
	for _, p := range poisons {
		if va == p.value || p.value >= illegalPointer && va-p.value < member && p.value > best {
			name, says, offset, ok, best = p.name, p.says, int64(va-p.value), true, p.value
		}
	}
	if ok {
		return name, says, offset, true
	}
	return pattern(va, ptr)
}

// pattern tells whether a value is made of one byte of a pattern, with POISON_END at its
// end perhaps, and the offset of a member added.
func pattern(va uint64, ptr int) (name, says string, offset int64, ok bool) {
	for _, p := range patterns {
		whole := uint64(p.value) * (^uint64(0) / 0xff)
		values := []uint64{whole}
		if p.value == 0x6b { // the last byte of a little-endian word is the highest
			values = append(values, whole&^(0xff<<56)|0xa5<<56)
		}
		for _, v := range values {
			if v >>= 64 - 8*ptr; ptr == 4 && p.value == 0x6b && v != whole>>32 {
				v = whole>>32&^(0xff<<24) | 0xa5<<24
			}
			if d := int64(va - v); d > -near && d < near {
				return p.name, p.says, d, true
			}
		}
	}
	return "", "", 0, false
}

// maxErrno is MAX_ERRNO of include/linux/err.h.
const maxErrno = 4095

// errnoNames are the numbers that kernel functions return most (asm-generic/errno*.h).
var errnoNames = map[int]string{
	1: "EPERM", 2: "ENOENT", 3: "ESRCH", 4: "EINTR", 5: "EIO", 6: "ENXIO", 7: "E2BIG", 9: "EBADF",
	10: "ECHILD", 11: "EAGAIN", 12: "ENOMEM", 13: "EACCES", 14: "EFAULT", 16: "EBUSY", 17: "EEXIST", 18: "EXDEV",
	19: "ENODEV", 20: "ENOTDIR", 21: "EISDIR", 22: "EINVAL", 23: "ENFILE", 24: "EMFILE", 25: "ENOTTY", 27: "EFBIG",
	28: "ENOSPC", 29: "ESPIPE", 30: "EROFS", 31: "EMLINK", 32: "EPIPE", 33: "EDOM", 34: "ERANGE", 35: "EDEADLK",
	36: "ENAMETOOLONG", 38: "ENOSYS", 39: "ENOTEMPTY", 40: "ELOOP", 61: "ENODATA", 62: "ETIME", 71: "EPROTO",
	75: "EOVERFLOW", 84: "EILSEQ", 90: "EMSGSIZE", 95: "EOPNOTSUPP", 98: "EADDRINUSE", 103: "ECONNABORTED",
	104: "ECONNRESET", 105: "ENOBUFS", 107: "ENOTCONN", 110: "ETIMEDOUT", 111: "ECONNREFUSED", 116: "ESTALE",
	512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 515: "ENOIOCTLCMD", 516: "ERESTART_RESTARTBLOCK",
	517: "EPROBE_DEFER", 524: "ENOTSUPP",
}

// errPointer tells whether a value is an ERR_PTR, a negative errno in place of a pointer.
func errPointer(va uint64, ptr int) (text string, ok bool) {
	n := int(-int64(va))
	if ptr == 4 {
		n = int(-int32(va))
	}
	if n < 1 || n > maxErrno {
		return "", false
	}
	if name := errnoNames[n]; name != "" {
		return fmt.Sprintf("ERR_PTR(-%s), or %d below NULL", name, n), true
	}
	return fmt.Sprintf("ERR_PTR(-%d), or %d below NULL", n, n), true
}

// nonCanonical tells whether no page tables can translate an address, for processors of 64
// bits with tables for so many of them.
func nonCanonical(va uint64, width int) bool {
	if width <= 0 || width >= 64 {
		return false
	}
	top := int64(va) >> (width - 1)
	return top != 0 && top != -1
}

// nullPointer is how far from NULL an access lies that goes through it.
func nullPointer(va uint64, page int) bool { return va < uint64(page) }

// ascii tells whether all bytes of a value are text: a pointer that was overwritten by a
// string.
func ascii(va uint64, ptr int, big bool) (string, bool) {
	if big {
		va = bits.ReverseBytes64(va) >> (64 - 8*ptr)
	}
	b := make([]byte, ptr)
	for i := range b {
		if b[i] = byte(va >> (8 * i)); b[i] < ' ' || b[i] > '~' {
			return "", false
		}
	}
	return strings.TrimSpace(string(b)), true
}
