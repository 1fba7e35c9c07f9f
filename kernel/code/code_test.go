package code_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/code"
	"github.com/kautopsy/kautopsy/symbols"
)

func open(t testing.TB, k *kernel.Kernel) *code.Reader {
	t.Helper()
	r, err := code.New(context.Background(), k)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func lookup(t testing.TB, k *kernel.Kernel, name string) symbols.Symbol {
	t.Helper()
	table, err := k.AllSymbols(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	s, err := table.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAround: the instructions around one are those of its function, in order.
func TestAround(t *testing.T) {
	k := guesttest.Tiny(t).Kernel
	r := open(t, k)
	s := lookup(t, k, "schedule")
	_, b, err := r.Function(s.Addr + 1)
	if err != nil || uint64(len(b)) != s.Size {
		t.Fatalf("%d bytes of %d, %v", len(b), s.Size, err)
	}
	all, err := r.Around(s.Addr, 0, 1<<20)
	if err != nil || all[0].Addr != s.Addr || len(all) < 10 {
		t.Fatalf("%d instructions, %v", len(all), err)
	}
	list, err := r.Around(all[5].Addr, 3, 2)
	if err != nil || len(list) != 6 || list[0].Addr != all[2].Addr || list[5].Addr != all[7].Addr {
		t.Errorf("%v, %v", list, err)
	}
	for i, in := range all[:len(all)-1] {
		before, err := r.Before(all[i+1].Addr)
		if err != nil || before.Addr != in.Addr {
			t.Errorf("before %#x: %#x, %v", all[i+1].Addr, before.Addr, err)
		}
	}
	if _, _, err := r.Function(0x1000); !errors.Is(err, code.ErrNoFunction) {
		t.Error(err)
	}
	if _, err := r.Around(0x1000, 1, 1); err == nil {
		t.Error("code at 0x1000")
	}
}

// TestFlow: the first access to an argument of functions whose source is known.
func TestFlow(t *testing.T) {
	k := guesttest.Tiny(t).Kernel
	r := open(t, k)
	for function, want := range map[string]string{
		"put_pid":           "pid->level",
		"get_task_pid":      "task->signal",
		"vfs_getattr_nosec": "path->dentry->d_inode->i_sb->s_flags",
		"kthread_stop":      "k->usage.refs.counter",
	} {
		s := lookup(t, k, function)
		flow, err := r.Flow(context.Background(), s.Addr)
		if err != nil {
			t.Errorf("%s: %v", function, err)
			continue
		}
		list, err := r.Around(s.Addr, 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, in := range list {
			ops, _ := flow.Operands(in.Addr)
			for _, o := range ops {
				if o.Text != "" {
					found = append(found, o.Text)
				}
			}
		}
		if !slices.Contains(found, want) {
			t.Errorf("%s accesses %v, not %s", function, found, want)
		}
	}
}
