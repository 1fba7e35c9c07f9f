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
// all memory passes through a small part of the cache, once that has been full, and through memory
// that the processor has at hand.
//
// A page that the file has as it is costs little to read again and comes in when it is
// asked for a second time; what is asked for is read alone before that. So does a page of
// which all is asked for at once: whoever does that has it then.
type cache struct {
	c      Container
	direct directReader // c, or nil
	page   int
	shards [shards]shard
}

// directReader is a container that reads a part of a page that the file has as it is; false
// for other pages.
type directReader interface {
	ReadDirect(dst []byte, p phys.PFN, off int) bool
}

type shard struct {
	mu    sync.Mutex
	index index
	slots []slot
	free  []int32 // slots with nothing in them
	last  int32   // slot of the last hit
	limit int     // slots at most
	few   int     // of small's pages, when the shard is full
	small queue[int32]
	main  queue[int32]
	gone  queue[phys.PFN] // pages of which the index knows that they were asked for
}

// slot is a page, or what there is of it and why there is not more.
type slot struct {
	pfn  phys.PFN
	page []byte
	n    int
	err  error
	hits uint8 // since it came or was passed over, maxHits at most
}

const maxHits = 3

// smallPart of a full shard's slots are small's: of the 32 MiB, half of one, which a processor has in its own cache.
const smallPart = 64

// defaultCache is the bound when the caller sets none.
const defaultCache = 32 << 20

func newCache(c Container, bytes int64) *cache {
	if bytes <= 0 {
		bytes = defaultCache
	}
	k := &cache{c: c, page: c.PageSize()}
	k.direct, _ = c.(directReader)
	for i := range k.shards {
		s := &k.shards[i]
		s.limit = int(min(maxSlots, max(1, bytes/int64(k.page)/shards)))
		s.few = max(1, s.limit/smallPart)
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
	return k.load(s, dst, p, off)
}

// load reads a page into a slot that nobody else uses meanwhile.
func (k *cache) load(s *shard, dst []byte, p phys.PFN, off int) (int, error) {
	i, page := s.take(k.page)
	if i < 0 {
		page = make([]byte, k.page)
	}
	got, err := k.c.ReadPage(p, page)
	n, told := piece(dst, page[:got], off, err)
	if i >= 0 {
		s.put(p, i, got, err)
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

// get copies from a page that is here; where is what the index says.
func (s *shard) get(dst []byte, p phys.PFN, off int) (n int, where int32, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.index.at(p)
	if i < 0 {
		return 0, i, nil
	}
	k := &s.slots[i]
	if s.last != i { // reads of one structure are one use of its page
		s.last = i
		k.hits = min(k.hits+1, maxHits)
	}
	n, err = piece(dst, k.page[:k.n], off, k.err)
	return n, i, err
}

// take gives a slot to be filled and put, and its memory; -1 if others fill all of them.
func (s *shard) take(size int) (i int32, page []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.slots) == s.limit {
		s.evict()
	} else if len(s.free) == 0 {
		s.slots = append(s.slots, slot{page: make([]byte, size)})
		s.free = append(s.free, int32(len(s.slots)-1))
	}
	last := len(s.free) - 1
	if last < 0 {
		return -1, nil
	}
	i, s.free = s.free[last], s.free[:last]
	return i, s.slots[i].page
}

// put keeps what slot i, which was taken, has got of a page.
func (s *shard) put(p phys.PFN, i int32, n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.index.at(p)
	passes := err != nil && phys.Reason(err) == nil // as the disk's errors may
	if at >= 0 || passes || p > lastPage {          // or somebody else was faster
		s.free = append(s.free, i)
		return
	}
	k := &s.slots[i]
	k.pfn, k.n, k.err, k.hits = p, n, err, 0
	s.index.set(p, i)
	s.last = i
	if at == ghost {
		s.main.push(i)
	} else {
		s.small.push(i)
	}
}

// evict sees to a free slot, if there is one that nobody fills, and to a small queue that is
// small: pages that are used once then come and go in little memory.
func (s *shard) evict() {
	for n := 2; n > 0 && s.small.n > s.few; n-- {
		s.shed()
	}
	for len(s.free) == 0 && s.small.n+s.main.n > 0 {
		if s.main.n == 0 || s.small.n > s.few {
			s.shed()
			continue
		}
		i := s.main.pop()
		k := &s.slots[i]
		if k.hits == 0 {
			s.index.remove(k.pfn)
			s.free = append(s.free, i)
			return
		}
		k.hits--
		s.main.push(i)
	}
}

// shed ends the time of a page in small.
func (s *shard) shed() {
	i := s.small.pop()
	k := &s.slots[i]
	if k.hits == 0 {
		s.note(k.pfn, ghost)
		s.free = append(s.free, i)
		return
	}
	k.hits = 0
	s.main.push(i)
}

// remember notes that a page was read without the cache.
func (s *shard) remember(p phys.PFN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p <= lastPage && s.index.at(p) == absent {
		s.note(p, asked)
	}
}

// note puts a page into the index that is not here. There are as many of these as slots;
// one that came back as a page is none any more when its turn comes.
func (s *shard) note(p phys.PFN, as int32) {
	s.index.set(p, as)
	s.gone.push(p)
	if s.gone.n > s.limit {
		if at := s.index.at(s.gone.first()); at == ghost || at == asked {
			s.index.remove(s.gone.first())
		}
		s.gone.pop()
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

func (q *queue[T]) first() T { return q.items[q.head] }

func (q *queue[T]) pop() T {
	v := q.items[q.head]
	q.head = (q.head + 1) % len(q.items)
	q.n--
	return v
}
