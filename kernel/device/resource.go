package device

import (
	"context"
	"fmt"
	"iter"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// Resource is a range of I/O ports or of memory: a line of /proc/ioports or /proc/iomem.
// Object is its struct resource.
type Resource struct {
	kernel.Object

	Depth      int // 0 for what lies in no other
	Start, End uint64
	Name       string
	Width      int // hexadecimal digits in which /proc writes it
}

// String is the line of /proc.
func (r Resource) String() string {
	name := r.Name
	if name == "" {
		name = "<BAD>"
	}
	return fmt.Sprintf("%*s%0*x-%0*x : %s", r.Depth*2, "", r.Width, r.Start, r.Width, r.End, name)
}

// Ports yields the I/O ports in the order of /proc/ioports, Memory what lies in physical
// addresses in that of /proc/iomem (kernel/resource.c). An error ends the walk.
func Ports(ctx context.Context, k *kernel.Kernel) iter.Seq2[Resource, error] {
	return resources(ctx, k, "ioport_resource")
}

// Memory yields what lies in physical addresses, see Ports.
func Memory(ctx context.Context, k *kernel.Kernel) iter.Seq2[Resource, error] {
	return resources(ctx, k, "iomem_resource")
}

const (
	maxResources = 1 << 16
	maxLevel     = 5 // of indentation in /proc (MAX_IORES_LEVEL)
)

func resources(ctx context.Context, k *kernel.Kernel, root string) iter.Seq2[Resource, error] {
	return func(yield func(Resource, error) bool) {
		top, err := k.Variable(root, "struct resource")
		if err == nil {
			w := walk{seen: map[uint64]bool{}, width: 8, yield: yield}
			var end uint64
			if end, err = top.Uint("end"); end < 0x10000 {
				w.width = 4
			}
			if err == nil {
				err = w.below(ctx, top, 0)
			}
		}
		if err != nil {
			yield(Resource{}, fmt.Errorf("%s: %w", root, err))
		}
	}
}

// walk goes through a tree of resources.
type walk struct {
	seen  map[uint64]bool
	width int
	yield func(Resource, error) bool
	done  bool
}

// below yields the children of a resource, each with its own.
func (w *walk) below(ctx context.Context, parent kernel.Object, depth int) error {
	for o, member := parent, "child"; !w.done; member = "sibling" {
		at, err := o.Pointer(member)
		switch {
		case err != nil:
			return err
		case at == 0:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case w.seen[at] || len(w.seen) > maxResources || depth > maxResources:
			return fmt.Errorf("resource %#x leads back into the tree: %w", at, phys.ErrCorrupt)
		}
		w.seen[at] = true
		if o, err = o.Follow(member); err != nil {
			return err
		}
		f := o.Fields()
		r := Resource{Object: o, Depth: min(depth, maxLevel), Start: f.Uint("start"), End: f.Uint("end"), Name: f.Text("name"), Width: w.width}
		if err := f.Err(); err != nil {
			return err
		}
		if !w.yield(r, nil) {
			w.done = true
			return nil
		}
		if err := w.below(ctx, o, depth+1); err != nil {
			return err
		}
	}
	return nil
}
