package crashshell

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestPool: never more sessions than memory, an idle one is used again, and goes when
// another dump needs its place.
func TestPool(t *testing.T) {
	p := NewPool(8 << 30)
	defer p.Close()
	configs := []Config{fakeConfig(t, ""), fakeConfig(t, ""), fakeConfig(t, "")}
	for i := range configs {
		configs[i].Memory = 4 << 30
	}
	var busy, most atomic.Int32
	var work sync.WaitGroup
	for i := range 12 {
		work.Go(func() {
			err := p.Do(t.Context(), configs[i%3], func(s *Session) error {
				n := busy.Add(1)
				defer busy.Add(-1)
				for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
				}
				_, err := s.Run(t.Context(), "ascii say x")
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	if n := most.Load(); n > 2 {
		t.Errorf("%d sessions at once, memory is for 2", n)
	}
	if a, b := poolPID(t, p, configs[0], nil), poolPID(t, p, configs[0], nil); a != b {
		t.Errorf("process %s, then %s: an idle session was not used again", a, b)
	}
}

// poolPID is the process of the session that a pool gives; work runs while it is in use.
func poolPID(t *testing.T, p *Pool, cfg Config, work func()) (pid string) {
	t.Helper()
	err := p.Do(t.Context(), cfg, func(s *Session) error {
		pid = strings.TrimSpace(run(t, s, "ascii pid"))
		if work != nil {
			work()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// TestPoolSame: of two idle sessions on the same files the one used last answers, each time.
func TestPoolSame(t *testing.T) {
	p := NewPool(8 << 30)
	defer p.Close()
	cfg := fakeConfig(t, "")
	cfg.Memory = 4 << 30
	var inner string
	outer := poolPID(t, p, cfg, func() { inner = poolPID(t, p, cfg, nil) })
	if inner == outer {
		t.Fatalf("process %s for two at once", inner)
	}
	for range 3 {
		if pid := poolPID(t, p, cfg, nil); pid != outer {
			t.Errorf("process %s, want %s, which was used last", pid, outer)
		}
	}
}

func TestPoolErrors(t *testing.T) {
	p := NewPool(4 << 30)
	defer p.Close()
	cfg := fakeConfig(t, "silent")
	cfg.Memory = 5 << 30
	if err := p.Do(t.Context(), cfg, nil); !errors.Is(err, ErrPool) {
		t.Errorf("too large: %v", err)
	}
	cfg.Memory = 4 << 30
	if err := p.Do(t.Context(), cfg, nil); !errors.Is(err, ErrStart) {
		t.Errorf("start fails: %v", err)
	}
	cfg = fakeConfig(t, "")
	cfg.Memory = 4 << 30
	mine := errors.New("mine")
	err := p.Do(t.Context(), cfg, func(*Session) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := p.Do(ctx, cfg, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no memory left: %v", err)
		}
		return mine
	})
	if !errors.Is(err, mine) {
		t.Errorf("%v, want the work's error", err)
	}
}
