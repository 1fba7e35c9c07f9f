package vmcore

import (
	"sync"

	"github.com/kautopsy/kautopsy/phys"
)

// shards of the page cache; neighbouring pages fall into different ones.
const shards = 64

// cache keeps pages of a container, and why there are none: both are asked for again. It
// is bounded, and split into shards so that many readers do not wait for one lock, which
// is not held while a page is read and decoded.
//
// Each shard is an S3-FIFO (Yang et al., "FIFO queues are all you need for cache
// eviction", SOSP 2023): pages come into a small queue, and only those that are asked for
// again before they fall out of it, or soon after, get into the main one. So a walk over
// all memory passes through a tenth of the cache.
//
// A page that the file has as it is costs little to read again and comes in when it is
// asked for a second time; what is asked for is read alone before that. So does a page of
// which all is asked for at once: whoever does that has it then.
type cache struct {
	c      Container
	direct directReader // c, or nil
	page   int
	shards [shards]shard
	bufs   sync.Pool // of *[]byte as long as a page
}

// directReader is a container that reads a part of a page that the file has as it is; false
// for other pages.
type directReader interface {
	ReadDirect(dst []byte, p phys.PFN, off int) bool
}

type shard struct {
	mu    sync.Mutex
	index map[phys.PFN]int32 // a slot, or ghost
	slots []slot
	last  int32 // slot of the last hit
	limit int   // slots at most
	small queue[int32]
	main  queue[int32]
	gone  queue[phys.PFN] // pages of which the index knows that they were asked for
}

// In the index, of pages that are not here.
const (
	ghost = -1 // fell out of small
	asked = -2 // was read into its reader's memory
)

// slot is a page, or what there is of it and why there is not more.
type slot struct {
	pfn  phys.PFN
	buf  *[]byte
	n    int
	err  error
	hits uint8 // since it came or was passed over, maxHits at most
}

const maxHits = 3

// defaultCache is the bound when the caller sets none.
const defaultCache = 32 << 20

func newCache(c Container, bytes int64) *cache {
	if bytes <= 0 {
		bytes = defaultCache
	}
	k := &cache{c: c, page: c.PageSize()}
	k.direct, _ = c.(directReader)
	k.bufs.New = func() any { b := make([]byte, k.page); return &b }
	for i := range k.shards {
		k.shards[i].index = make(map[phys.PFN]int32)
		k.shards[i].limit = max(1, int(bytes/int64(k.page)/shards))
	}
	return k
}

// read copies page p from byte off on into dst; n is how much of dst the page filled.
func (k *cache) read(dst []byte, p phys.PFN, off int) (n int, err error) {
	s := &k.shards[p%shards]
	n, where, err := s.get(dst, p, off)
	if where >= 0 {
		return n, err
	}
	if n, ok := k.readDirect(s, dst, p, off, where); ok {
		return n, nil
	}
	if where == absent && len(dst) >= k.page && off == 0 {
		if n, err := k.c.ReadPage(p, dst[:k.page]); err == nil {
			s.remember(p)
			return n, nil
		}
	}
	buf := k.bufs.Get().(*[]byte)
	got, err := k.c.ReadPage(p, *buf)
	n, told := piece(dst, (*buf)[:got], off, err)
	if err == nil || phys.Reason(err) != nil { // the disk's errors may pass
		buf = s.put(p, buf, got, err)
	}
	if buf != nil {
		k.bufs.Put(buf)
	}
	return n, told
}

// readDirect reads without the cache what is cheap to have and not asked for often.
func (k *cache) readDirect(s *shard, dst []byte, p phys.PFN, off int, where int32) (int, bool) {
	dst = dst[:min(len(dst), k.page-off)]
	small := len(dst) <= smallRead
	if k.direct == nil || small && where != absent || !k.direct.ReadDirect(dst, p, off) {
		return 0, false
	}
	if small {
		s.remember(p)
	}
	return len(dst), true
}

// piece copies what dst asks for of a page from off on; the error of a page that is there
// in part counts for what is not there only.
func piece(dst, page []byte, off int, err error) (int, error) {
	n := copy(dst, page[min(off, len(page)):])
	if n == len(dst) {
		err = nil
	}
	return n, err
}

// absent: the index does not know the page.
const absent = -3

// get copies from a page that is here; where is what the index says of it.
func (s *shard) get(dst []byte, p phys.PFN, off int) (n int, where int32, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.index[p]
	if !ok {
		i = absent
	}
	if i < 0 {
		return 0, i, nil
	}
	k := &s.slots[i]
	if s.last != i { // reads of one structure are one use of its page
		s.last = i
		k.hits = min(k.hits+1, maxHits)
	}
	n, err = piece(dst, (*k.buf)[:k.n], off, k.err)
	return n, i, err
}

// put keeps a page and gives back a buffer that is free, nil if there is none.
func (s *shard) put(p phys.PFN, buf *[]byte, n int, err error) (free *[]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, known := s.index[p]
	if known && i >= 0 {
		return buf // somebody else was faster
	}
	back := known && i == ghost
	if len(s.slots) < s.limit {
		i = int32(len(s.slots))
		s.slots = append(s.slots, slot{})
	} else {
		i = s.evict()
	}
	free = s.slots[i].buf
	s.slots[i] = slot{pfn: p, buf: buf, n: n, err: err}
	s.index[p], s.last = i, i
	if back {
		s.main.push(i)
	} else {
		s.small.push(i)
	}
	return free
}

// evict frees a slot.
func (s *shard) evict() int32 {
	for {
		if s.main.n == 0 || s.small.n > s.limit/10 {
			i := s.small.pop()
			k := &s.slots[i]
			if k.hits == 0 {
				s.note(k.pfn, ghost)
				return i
			}
			k.hits = 0
			s.main.push(i)
			continue
		}
		i := s.main.pop()
		k := &s.slots[i]
		if k.hits == 0 {
			delete(s.index, k.pfn)
			return i
		}
		k.hits--
		s.main.push(i)
	}
}

// remember notes that a page was read without the cache.
func (s *shard) remember(p phys.PFN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.index[p]; !known {
		s.note(p, asked)
	}
}

// note puts a page into the index that is not here. There are as many of these as slots;
// one that came back as a page is none any more when its turn comes.
func (s *shard) note(p phys.PFN, as int32) {
	s.index[p] = as
	s.gone.push(p)
	if s.gone.n > s.limit {
		if p := s.gone.pop(); s.index[p] < 0 {
			delete(s.index, p)
		}
	}
}

// queue is first in, first out.
type queue[T any] struct {
	items []T // a ring
	head  int
	n     int
}

func (q *queue[T]) push(v T) {
	if q.n == len(q.items) {
		items := make([]T, max(8, 2*q.n))
		copied := copy(items, q.items[q.head:])
		copy(items[copied:], q.items[:q.head])
		q.items, q.head = items, 0
	}
	q.items[(q.head+q.n)%len(q.items)] = v
	q.n++
}

func (q *queue[T]) pop() T {
	v := q.items[q.head]
	q.head = (q.head + 1) % len(q.items)
	q.n--
	return v
}
