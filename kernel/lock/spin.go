package lock

import (
	"iter"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
)

// Spin is a spinlock that a processor waits for.
type Spin struct {
	Lock  uint64
	Name  string // its symbol, "" for one that was allocated
	Value uint32 // of the lock
	By    string // the register that had its address
}

// spinners are the functions in which a processor waits for a spinlock or rwlock.
var spinners = listed(`native_queued_spin_lock_slowpath queued_spin_lock_slowpath pv_queued_spin_lock_slowpath
	__pv_queued_spin_lock_slowpath resilient_queued_spin_lock_slowpath _raw_spin_lock* __raw_spin_lock* do_raw_spin_lock*
	_spin_lock* __ticket_spin_lock* queued_read_lock_slowpath queued_write_lock_slowpath _raw_read_lock* _raw_write_lock*
	arch_spin_lock __pv_init_lock_hash pv_wait_head_or_lock`)

// Spins tells whether a processor waits in a function for a spinlock.
func Spins(frame kernel.Frame) bool {
	_, ok := spinners.of(function(frame))
	return ok && !strings.Contains(function(frame), "unlock")
}

// firstArgument are the registers that hold the first argument of a function, the lock.
var firstArgument = []string{"rdi", "x0", "a0", "r3"}

// Spinning finds the lock among the registers of a processor that spins in frame: the one
// that the function was given, or one with a name, that is not free.
func (f *Finder) Spinning(frame kernel.Frame, regs iter.Seq2[string, uint64]) (Spin, bool) {
	if !Spins(frame) {
		return Spin{}, false
	}
	var best Spin
	for reg, v := range regs {
		value, ok := f.taken(v)
		if !ok {
			continue
		}
		s := Spin{Lock: v, Name: f.name(v), Value: value, By: reg}
		argument := slices.Contains(firstArgument, reg)
		if argument || s.Name != "" && f.data(v) && best.Lock == 0 {
			best = s
		}
		if argument {
			break
		}
	}
	return best, best.Lock != 0
}

// taken reads the lock word at an address that can be one.
func (f *Finder) taken(va uint64) (value uint32, ok bool) {
	if va < 1<<63 || va%4 != 0 {
		return 0, false
	}
	var b [4]byte
	if _, err := f.k.ReadVirt(b[:], va); err != nil {
		return 0, false
	}
	value = f.k.Dump().Header.Order.Uint32(b[:])
	return value, value != 0
}

// data tells whether an address is that of a variable.
func (f *Finder) data(va uint64) bool {
	if f.table == nil {
		return false
	}
	s, off, err := f.table.At(va)
	return err == nil && off == 0 && strings.ContainsRune("dDbBsS", rune(s.Type))
}
