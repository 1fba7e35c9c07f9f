package vmcore

import (
	"sync"

	"github.com/kautopsy/kautopsy/phys"
)

// shards of the page cache; neighbouring pages fall into different ones.
const shards = 16

// cache keeps decoded pages of a container that has to decode them. It is bounded, and
// split into shards so that many readers do not wait for one lock. A page that is being
// used is found again soon or not at all, so each shard is a clock: a page that was asked
// for again since the hand passed stays.
type cache struct {
	c      Container
	page   int
	shards [shards]shard
}

type shard struct {
	mu    sync.Mutex
	index map[phys.PFN]int
	slots []slot
	hand  int
	limit int
}

type slot struct {
	pfn  phys.PFN
	b    []byte
	used bool
}

// defaultCache is the bound when the caller sets none.
const defaultCache = 32 << 20

func newCache(c Container, bytes int64) *cache {
	if bytes <= 0 {
		bytes = defaultCache
	}
	k := &cache{c: c, page: c.PageSize()}
	for i := range k.shards {
		k.shards[i].index = make(map[phys.PFN]int)
		k.shards[i].limit = max(1, int(bytes/int64(k.page)/shards))
	}
	return k
}

// read copies page p from byte off on into dst; n is how much of dst the page filled.
func (k *cache) read(dst []byte, p phys.PFN, off int) (n int, err error) {
	s := &k.shards[p%shards]
	s.mu.Lock()
	if i, ok := s.index[p]; ok {
		s.slots[i].used = true
		n = copy(dst, s.slots[i].b[off:])
		s.mu.Unlock()
		return n, nil
	}
	s.mu.Unlock()
	b := make([]byte, k.page)
	got, err := k.c.ReadPage(p, b)
	if err != nil {
		return copy(dst, b[min(off, got):got]), err
	}
	s.put(p, b)
	return copy(dst, b[off:]), nil
}

// put keeps a page, in place of one that was not used for a turn of the hand.
func (s *shard) put(p phys.PFN, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.index[p]; ok {
		return
	}
	if len(s.slots) < s.limit {
		s.index[p] = len(s.slots)
		s.slots = append(s.slots, slot{pfn: p, b: b})
		return
	}
	for s.slots[s.hand].used {
		s.slots[s.hand].used = false
		s.hand = (s.hand + 1) % len(s.slots)
	}
	delete(s.index, s.slots[s.hand].pfn)
	s.slots[s.hand] = slot{pfn: p, b: b}
	s.index[p] = s.hand
	s.hand = (s.hand + 1) % len(s.slots)
}
