package dwarf

import (
	"container/list"
	"sync"
)

// cache keeps values by key, those that were asked for last, up to a bound of what they cost
// (bytes, about). It is safe for many goroutines; the lock is not held while a value is
// made, so two who ask for the same at once may both make it.
type cache[K comparable, V any] struct {
	limit int64

	mu    sync.Mutex
	used  int64
	items map[K]*list.Element
	order list.List // of *cached[K, V], the last used in front
}

type cached[K comparable, V any] struct {
	key   K
	value V
	cost  int64
}

// get gives the value of key, made if it is not here. Errors are not kept.
func (c *cache[K, V]) get(key K, produce func() (V, int64, error)) (V, error) {
	c.mu.Lock()
	if el := c.items[key]; el != nil {
		c.order.MoveToFront(el)
		v := el.Value.(*cached[K, V]).value
		c.mu.Unlock()
		return v, nil
	}
	c.mu.Unlock()
	v, cost, err := produce()
	if err == nil {
		c.put(&cached[K, V]{key, v, cost})
	}
	return v, err
}

// put keeps a value and drops those that were not used for longest.
func (c *cache[K, V]) put(it *cached[K, V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.items == nil {
		c.items = map[K]*list.Element{}
	}
	if it.cost > c.limit || c.items[it.key] != nil {
		return
	}
	c.items[it.key] = c.order.PushFront(it)
	for c.used += it.cost; c.used > c.limit; {
		last := c.order.Back()
		old := c.order.Remove(last).(*cached[K, V])
		delete(c.items, old.key)
		c.used -= old.cost
	}
}
