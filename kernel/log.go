package kernel

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/kautopsy/kautopsy/phys"
)

// Record is one record of the kernel's log.
type Record struct {
	Seq      uint64        // number of the record since boot; in rings that keep none, since the first one read
	Since    time.Duration // local clock since boot
	Level    int           // 0 emergency … 7 debug; -1 if the record has none
	Facility int           // syslog facility, 0 kern; -1 if the record has none
	Caller   string        // "T12" a task, "C3" a CPU in interrupt; "" if the kernel keeps none
	Text     []byte        // without the final newline; may hold newlines, NULs, anything
	Dict     []Property    // the device it is about
	Raw      []byte        // byte ring only: the line as it stands, with <level> and [time]
}

// Property is one entry of a record's dictionary: SUBSYSTEM=pci, DEVICE=+pci:0000:00:01.0.
type Property struct{ Key, Value string }

// ErrNoLog: the kernel's log cannot be found in the dump.
var ErrNoLog = errors.New("no kernel log found")

// Log yields the records of the kernel's log, oldest first, whichever of its three forms
// the kernel has (kernel/printk): a ring of bytes until 3.4, a ring of records until 5.9,
// the printk_ringbuffer since. A record that cannot be read comes as an error and the walk
// goes on; an error of the ring itself ends it. The record's slices are valid until the
// next one.
func (k *Kernel) Log(ctx context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		walk, err := k.logForm()
		if err != nil {
			yield(Record{}, err)
			return
		}
		walk(func(r Record, err error) bool {
			if ctx.Err() != nil {
				yield(Record{}, ctx.Err())
				return false
			}
			return yield(r, err)
		})
	}
}

// logForm finds which log the kernel has by the symbols that it wrote down.
func (k *Kernel) logForm() (func(func(Record, error) bool), error) {
	if k.info == nil {
		return nil, k.needInfo()
	}
	if k.spc == nil {
		return nil, fmt.Errorf("the log: %w", k.spaceErr)
	}
	has := func(symbol string) bool { _, ok := k.info.Symbol(symbol); return ok }
	switch {
	case has("prb"):
		return k.ringbuffer, nil
	case has("log_first_idx"):
		return k.recordRing, nil
	case has("log_end"):
		return k.byteRing, nil
	}
	return nil, fmt.Errorf("%w: VMCOREINFO names none of prb, log_first_idx and log_end: %w", ErrNoLog, phys.ErrUnsupported)
}

// maxLog bounds what one ring may hold; log_buf_len is at most 2 GiB, and nobody sets it
// beyond 64 MiB.
const maxLog = 256 << 20

// layout reads the offsets that VMCOREINFO gives; the first that is missing sticks.
type layout struct {
	k   *Kernel
	err error
}

func (l *layout) get(kind, key string, f func(string) (int64, bool)) uint64 {
	v, ok := f(key)
	if (!ok || v < 0 || v > 1<<20) && l.err == nil {
		l.err = fmt.Errorf("%w: VMCOREINFO has no usable %s(%s): %w", ErrNoLog, kind, key, phys.ErrUnsupported)
	}
	return uint64(v)
}

func (l *layout) offset(member string) uint64 { return l.get("OFFSET", member, l.k.info.Offset) }
func (l *layout) size(name string) uint64     { return l.get("SIZE", name, l.k.info.Size) }

// caller spells printk_info.caller_id: bit 31 tells a CPU in interrupt from a task.
func caller(id uint32) string {
	if id&(1<<31) != 0 {
		return "C" + strconv.FormatUint(uint64(id&^(1<<31)), 10)
	}
	return "T" + strconv.FormatUint(uint64(id), 10)
}
