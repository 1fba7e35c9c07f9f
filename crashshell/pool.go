package crashshell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// ErrPool is a session that asks for more memory than its whole pool may take.
var ErrPool = errors.New("session larger than its pool")

// Pool keeps sessions on many dumps, so that their children together stay under a bound of
// memory: those in use, and idle ones for as long as nobody else needs their place. The sum
// of Config.Memory, each child's limit, counts.
type Pool struct {
	memory uint64

	mu    sync.Mutex
	used  uint64
	idle  []*pooled // least recently used first
	ended bool
	freed chan struct{} // closed and made anew when memory or a session is given back
}

type pooled struct {
	key     string
	memory  uint64
	session *Session
}

// NewPool makes a pool whose children may take so many bytes together.
func NewPool(memory uint64) *Pool { return &Pool{memory: memory, freed: make(chan struct{})} }

// Do runs work on a session for the configuration: an idle one on the same files, or a new
// one as soon as there is memory for it. The session must not be used after work returns. The
// error is Start's, ctx's, ErrPool, or that of work.
func (p *Pool) Do(ctx context.Context, cfg Config, work func(*Session) error) error {
	cfg.fill()
	if cfg.Memory > p.memory {
		return fmt.Errorf("%w: %d of %d bytes", ErrPool, cfg.Memory, p.memory)
	}
	e, err := p.take(ctx, cfg)
	if err != nil {
		return err
	}
	if e.session == nil {
		if e.session, err = Start(ctx, cfg); err != nil {
			p.drop(e)
			return err
		}
	}
	err = work(e.session)
	p.giveBack(e)
	return err
}

// take waits for an idle session on the same files, or for memory.
func (p *Pool) take(ctx context.Context, cfg Config) (*pooled, error) {
	key := fmt.Sprintf("%s\x00%s\x00%s\x00%v", cfg.Crash, cfg.VMLinux, strings.Join(cfg.Dump, "\x00"), cfg.Modes)
	for {
		e, evicted, wait := p.tryTake(key, cfg.Memory)
		for _, old := range evicted {
			old.session.Close()
			p.drop(old)
		}
		if e != nil {
			return e, nil
		}
		if len(evicted) > 0 {
			continue
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tryTake gives a place, or the idle sessions that have to go for one, or what to wait for. Of
// several idle sessions on the same files it is the one used last: the others grow old, and go
// first.
func (p *Pool) tryTake(key string, memory uint64) (e *pooled, evicted []*pooled, wait <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, e := range slices.Backward(p.idle) {
		if e.key == key {
			p.idle = slices.Delete(p.idle, i, i+1)
			return e, nil, nil
		}
	}
	if p.used+memory <= p.memory {
		p.used += memory
		return &pooled{key: key, memory: memory}, nil, nil
	}
	var freed uint64
	for len(p.idle) > 0 && p.used-freed+memory > p.memory {
		freed += p.idle[0].memory
		evicted = append(evicted, p.idle[0])
		p.idle = p.idle[1:]
	}
	return nil, evicted, p.freed
}

// giveBack keeps a session for the next one who asks for its files; a closed pool ends it.
func (p *Pool) giveBack(e *pooled) {
	p.mu.Lock()
	ended := p.ended
	if !ended {
		p.idle = append(p.idle, e)
		p.wake()
	}
	p.mu.Unlock()
	if ended {
		e.session.Close()
		p.drop(e)
	}
}

func (p *Pool) drop(e *pooled) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= e.memory
	p.wake()
}

// wake tells all that wait; the lock is held.
func (p *Pool) wake() {
	close(p.freed)
	p.freed = make(chan struct{})
}

// Close ends the idle sessions at once, and those in use when their work is done.
func (p *Pool) Close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.ended = nil, true
	p.mu.Unlock()
	for _, e := range idle {
		e.session.Close()
		p.drop(e)
	}
}
