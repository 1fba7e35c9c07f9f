package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/vmcore"
)

// System is what a kernel says of itself and its machine without types: crash's banner as
// far as symbols and the log tell it. What could not be had is zero and in Missing.
type System struct {
	vmcore.Utsname
	BuildID string
	CPUs    int           // online when it died
	Date    time.Time     // of the crash, else the clock of the machine at its last tick; zero if not known
	Uptime  time.Duration // time stamp of the last log record
	Load    []float64     // 1, 5 and 15 minutes; nil if unknown
	Tasks   int           // threads, the idle ones of the CPUs included
	Memory  uint64        // bytes of RAM
	MHz     int           // of the first CPU; 0 if the kernel does not say
	Taint   *uint64       // taint flags; nil if unknown
	Missing []Missing
}

// Missing says what an answer lacks.
type Missing struct {
	What  string `json:"what"`
	Where string `json:"where,omitempty"`
	Why   string `json:"why"`
	Cost  string `json:"cost,omitempty"`

	// Err is the error behind Why.
	Err error `json:"-"`
}

// NewMissing turns an error into the entry of an answer.
func NewMissing(what string, err error, cost string) Missing {
	return Missing{What: what, Why: err.Error(), Cost: cost, Err: err}
}

// Damaged tells whether any of the entries is an accident (lost or corrupt), which makes
// the answer partial.
func Damaged(missing []Missing) bool {
	for _, m := range missing {
		if phys.Damage(m.Err) {
			return true
		}
	}
	return false
}

// System reads the banner.
func (k *Kernel) System(ctx context.Context) System {
	var s System
	miss := func(what string, err error) {
		if err != nil {
			s.Missing = append(s.Missing, NewMissing(what, err, ""))
		}
	}
	var err error
	s.Utsname, err = k.Utsname()
	miss("the kernel's name", err)
	if k.info != nil {
		s.BuildID = k.info.BuildID()
		s.Date, _ = k.info.CrashTime()
	}
	if s.Date.IsZero() {
		s.Date = k.dump.Header.Time
	}
	if s.Date.IsZero() {
		s.Date, _ = k.Clock()
	}
	s.Uptime, s.Memory, err = k.fromLog(ctx)
	miss("uptime and memory", err)
	if s.Memory == 0 {
		s.Memory = k.ram()
	}
	table, err := k.Symbols()
	miss("symbols", err)
	if table != nil {
		k.fromVariables(&s, miss)
	}
	s.CPUs = k.CPUs()
	if s.Tasks > 0 {
		s.Tasks += len(k.idleCPUs())
	}
	return s
}

// fromVariables reads what stands in variables of the kernel. Some of them not every
// kernel has: one for a single processor has no mask of processors.
func (k *Kernel) fromVariables(s *System, miss func(string, error)) {
	optional := func(what string, err error) {
		if !errors.Is(err, symbols.ErrNoSymbol) {
			miss(what, err)
		}
	}
	var err error
	s.Load, err = k.load()
	miss("load", err)
	s.Tasks, err = k.threads()
	miss("tasks", err)
	_, err = k.online()
	optional("processors online", err)
	khz, err := k.variable("cpu_khz", 4)
	optional("clock rate", err)
	s.MHz = int(khz / 1000)
	mask, err := k.variable("tainted_mask", k.ptrSize())
	if optional("taint flags", err); err == nil {
		s.Taint = &mask
	}
}

const maxThreads = 1 << 22 // PID_MAX_LIMIT

// threads reads nr_threads, which does not count the idle tasks.
func (k *Kernel) threads() (int, error) {
	n, err := k.variable("nr_threads", 4)
	if err == nil && n > maxThreads {
		return 0, fmt.Errorf("nr_threads is %d: %w", n, phys.ErrCorrupt)
	}
	return int(n), err
}

// variable reads an integer variable of the kernel by its symbol.
func (k *Kernel) variable(name string, size int) (uint64, error) {
	sym, err := k.Symbol(name)
	if err != nil {
		return 0, err
	}
	return k.uint(sym.Addr, size)
}

const utsLen = 65 // __NEW_UTS_LEN + 1

// Utsname reads init_uts_ns from memory; where that cannot be had, the dump's own header
// and VMCOREINFO answer.
func (k *Kernel) Utsname() (vmcore.Utsname, error) {
	u := k.dump.Header.Utsname
	var err error = k.infoErr
	if k.info != nil {
		if at, ok := k.info.Symbol("init_uts_ns"); ok {
			var m vmcore.Utsname
			if m, err = k.readUtsname(at); err == nil {
				return m, nil
			}
		}
		if u.Release == "" {
			u.Release = k.info.Release()
		}
	}
	if u.Machine == "" {
		u.Machine = k.Machine()
	}
	if u.Release != "" {
		return u, nil
	}
	return u, err
}

// readUtsname reads struct uts_namespace. Where VMCOREINFO does not give the offset of its
// name (before 5.11) the name stands behind a reference count of 4 bytes. A name whose
// release is not that of VMCOREINFO is none.
func (k *Kernel) readUtsname(at uint64) (vmcore.Utsname, error) {
	offsets := []uint64{4, 0}
	if off, ok := k.info.Offset("uts_namespace.name"); ok && off >= 0 {
		offsets = []uint64{uint64(off)}
	}
	var b [6 * utsLen]byte
	for _, off := range offsets {
		if _, err := k.ReadVirt(b[:], at+off); err != nil {
			return vmcore.Utsname{}, err
		}
		field := func(i int) string { return bin.CString(b[i*utsLen : (i+1)*utsLen]) }
		if field(2) == k.info.Release() {
			return vmcore.Utsname{
				Sysname: field(0), Nodename: field(1), Release: field(2),
				Version: field(3), Machine: field(4), Domainname: field(5),
			}, nil
		}
	}
	return vmcore.Utsname{}, fmt.Errorf("init_uts_ns at %#x does not hold release %q: %w", at, k.info.Release(), phys.ErrCorrupt)
}

// load reads avenrun: three averages in fixed point with 11 bits behind the point
// (include/linux/sched/loadavg.h FSHIFT).
func (k *Kernel) load() ([]float64, error) {
	sym, err := k.Symbol("avenrun")
	if err != nil {
		return nil, err
	}
	out := make([]float64, 3)
	for i := range out {
		v, err := k.pointer(sym.Addr + uint64(i*k.ptrSize()))
		if err != nil {
			return nil, err
		}
		out[i] = float64(v) / (1 << 11)
	}
	return out, nil
}

// ram is the memory that the container knows of.
func (k *Kernel) ram() uint64 {
	c, err := k.dump.Counts()
	if err != nil {
		return 0
	}
	return (c.Present + c.Excluded + c.Lost) * uint64(k.dump.PageSize())
}

// fromLog reads what only the log tells without types: how long the machine was up, and
// how much memory it counted at boot ("Memory: 293444K/523744K available").
func (k *Kernel) fromLog(ctx context.Context) (up time.Duration, memory uint64, err error) {
	for rec, rerr := range k.Log(ctx) {
		if rerr != nil {
			err = rerr
			continue
		}
		up = max(up, rec.Since)
		if memory == 0 && bytes.HasPrefix(rec.Text, []byte("Memory: ")) {
			memory = memoryLine(string(rec.Text))
		}
	}
	return up, memory, err
}

func memoryLine(line string) uint64 {
	_, rest, _ := strings.Cut(line, "/")
	kib, _, _ := strings.Cut(strings.ToUpper(rest), "K")
	n, err := strconv.ParseUint(kib, 10, 48)
	if err != nil {
		return 0
	}
	return n * 1024
}

// ErrNotCrashed: no processor was in the kernel's crash path.
var ErrNotCrashed = errors.New("no CPU was in the crash path")

// CrashCPU is the processor that owned the crash path: panic_cpu (4.5+), else crashing_cpu.
// In a kernel that did not crash itself the error is ErrNotCrashed; another error says why
// it cannot be known.
func (k *Kernel) CrashCPU() (cpu int, err error) {
	var unknown error
	for _, name := range []string{"panic_cpu", "crashing_cpu"} {
		v, err := k.variable(name, 4)
		if err != nil {
			unknown = err
			continue
		}
		if n := int32(v); n >= 0 && n < 1<<16 {
			return int(n), nil
		}
		unknown = ErrNotCrashed
	}
	return 0, unknown
}

// taintLetters are the letters of the taint flags, bit by bit, when set (kernel/panic.c).
const taintLetters = "PFSRMBUDAWCIOELKXTNJ"

// TaintLetters spells a taint mask as the kernel does behind "Tainted:", without blanks:
// bit 0 clear is G. It is "" for an untainted kernel.
func TaintLetters(mask uint64) string {
	if mask == 0 {
		return ""
	}
	var b strings.Builder
	for i, c := range taintLetters {
		switch {
		case mask>>i&1 != 0:
			b.WriteRune(c)
		case i == 0:
			b.WriteByte('G')
		}
	}
	return b.String()
}
