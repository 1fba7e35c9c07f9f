package kernel

import (
	"fmt"
	"math"
	"time"

	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// timekeepers are where the kernel keeps its clocks (kernel/time/timekeeping.c): timekeeper_data[0]
// since 6.17, tk_core before, and until 6.12 beside it shadow_timekeeper, which is a struct
// timekeeper alone; tk_core's own struct has no name then.
var timekeepers = []struct{ variable, member string }{
	{"timekeeper_data", "timekeeper.xtime_sec"},
	{"tk_core", "timekeeper.xtime_sec"},
	{"shadow_timekeeper", "xtime_sec"},
}

// lastClock is the end of what a clock can show: the year 2262, where the kernel's nanoseconds end.
const lastClock = math.MaxInt64 / uint64(time.Second)

// Clock is the time of day of the machine at its last tick, in whole seconds.
func (k *Kernel) Clock() (time.Time, error) {
	ts, err := k.Types()
	if err != nil {
		return time.Time{}, err
	}
	err = symbols.ErrNoSymbol
	for _, form := range timekeepers {
		var o Object
		if o, err = k.Global(ts, form.variable); err != nil {
			continue
		}
		if o.Type.Underlying().Kind == symbols.KindArray {
			if o, err = o.Index(0); err != nil {
				continue
			}
		}
		var sec uint64
		if sec, err = o.Uint(form.member); err != nil {
			continue
		}
		if sec == 0 || sec > lastClock {
			return time.Time{}, fmt.Errorf("%s: the clock stands at %d s: %w", form.variable, sec, phys.ErrCorrupt)
		}
		return time.Unix(int64(sec), 0), nil
	}
	return time.Time{}, fmt.Errorf("clock: %w", err)
}
