package device

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// Request is a request that a disk's driver was given and has not ended. Object is its
// struct request.
type Request struct {
	kernel.Object

	Tag    int
	State  int  // enum mq_rq_state: idle, in flight, complete
	Write  bool // it carries data to the disk
	Sector uint64
	Bytes  uint64
}

// maxTags bounds the requests of one hardware queue; the kernel allows 10240.
const maxTags = 1 << 16

// mqInFlight is MQ_RQ_IN_FLIGHT of enum mq_rq_state (4.16 on).
const mqInFlight = 1

// InFlight are the requests of a queue that its driver has, see Requests.
func InFlight(ctx context.Context, k *kernel.Kernel, queue uint64) ([]Request, error) {
	list, err := Requests(ctx, k, queue)
	return slices.DeleteFunc(list, func(r Request) bool { return r.State != mqInFlight }), err
}

// Requests are the last requests that each tag of a queue's hardware queues had, whatever
// became of them (block/blk-mq.c). A disk without such queues (before 3.13, or a driver that
// works on bios) is an error that wraps phys.ErrUnsupported.
func Requests(ctx context.Context, k *kernel.Kernel, queue uint64) (list []Request, err error) {
	q, err := k.Cast(queue, "struct request_queue", "mq_ops")
	if err != nil {
		return nil, err
	}
	if ops, err := q.Pointer("mq_ops"); err != nil || ops == 0 {
		if err == nil {
			err = fmt.Errorf("request queue %#x has no hardware queues: %w", queue, phys.ErrUnsupported)
		}
		return nil, err
	}
	contexts, err := hardwareQueues(ctx, k, q)
	if err != nil {
		return nil, err
	}
	seen := map[uint64]bool{} // hardware queues can share their tags
	for _, h := range contexts {
		tags, err := h.Follow("tags")
		if err != nil {
			return list, err
		}
		if seen[tags.Addr] {
			continue
		}
		seen[tags.Addr] = true
		if list, err = requests(list, tags, queue); err != nil {
			return list, err
		}
	}
	return list, nil
}

// hardwareQueues are the struct blk_mq_hw_ctx of a queue: an array, or from 5.16 to 6.19
// (4e5cc99e1e48) an xarray.
func hardwareQueues(ctx context.Context, k *kernel.Kernel, q kernel.Object) (list []kernel.Object, err error) {
	n, err := q.Uint("nr_hw_queues")
	if err != nil || n > maxTags {
		return nil, errors.Join(err, phys.ErrCorrupt)
	}
	table, err := q.Member("hctx_table")
	if err == nil {
		h, err := k.Cast(0, "struct blk_mq_hw_ctx", "tags")
		if err != nil {
			return nil, err
		}
		for e, err := range k.XArray(ctx, table, h.Type) {
			if err != nil {
				return list, err
			}
			list = append(list, e.Object)
		}
		return list, nil
	}
	if !errors.Is(err, symbols.ErrNoMember) {
		return nil, err
	}
	array, err := q.Member("queue_hw_ctx")
	for i := uint64(0); i < n && err == nil; i++ {
		var slot, h kernel.Object
		if slot, err = array.Index(i); err == nil {
			if h, err = slot.Follow(); err == nil {
				list = append(list, h)
			}
		}
	}
	return list, err
}

// requests adds those of a set of tags. A slot keeps the last request of its tag, which may
// be another queue's.
func requests(list []Request, tags kernel.Object, queue uint64) ([]Request, error) {
	n, err := tags.Uint("nr_tags")
	if err == nil && n > maxTags {
		err = fmt.Errorf("%d tags: %w", n, phys.ErrCorrupt)
	}
	if err != nil {
		return list, err
	}
	slots, err := tags.Member("rqs")
	if err != nil {
		return list, err
	}
	for i := range n {
		slot, err := slots.Index(i)
		if err != nil {
			return list, err
		}
		if at, err := slot.Pointer(); err != nil || at == 0 {
			if err != nil {
				return list, err
			}
			continue
		}
		o, err := slot.Follow()
		if err != nil {
			return list, err
		}
		f := o.Fields()
		r := Request{o, int(i), int(f.Uint("state")), f.Uint("cmd_flags")&1 != 0, f.Uint("__sector"), f.Uint("__data_len")}
		mine := f.Pointer("q") == queue
		if err := f.Err(); err != nil {
			return list, err
		}
		if mine {
			list = append(list, r)
		}
	}
	return list, nil
}
