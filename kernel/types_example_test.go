package kernel_test

import (
	"context"
	"fmt"
	"log"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/symbols"
	"github.com/kautopsy/kautopsy/vmcore"
)

// tinyKernel opens the kernel of the committed dump.
func tinyKernel() *kernel.Kernel {
	d, err := vmcore.Open(tiny+"/vmcore.zlib", nil)
	if err != nil {
		log.Fatal(err)
	}
	k, err := kernel.Open(d, nil)
	if err != nil {
		log.Fatal(err)
	}
	return k
}

// Tasks by their types: the list that begins at init_task.
func ExampleKernel_List() {
	k := tinyKernel()
	defer k.Dump().Close()
	types, err := k.Types()
	if err != nil {
		log.Fatal(err)
	}
	first, err := k.Global(types, "init_task")
	if err != nil {
		log.Fatal(err)
	}
	head, err := first.Member("tasks")
	if err != nil {
		log.Fatal(err)
	}
	for task, err := range k.List(context.Background(), head.Addr, first.Type, "tasks") {
		if err != nil {
			log.Fatal(err)
		}
		f := task.Fields()
		pid, comm, state := f.Int("pid"), f.Text("comm"), f.Uint("__state", "state")
		if pid <= 2 {
			fmt.Printf("%d %s %#x %v\n", pid, comm, state, f.Err())
		}
	}
	// Output:
	// 1 init 0x1 <nil>
	// 2 kthreadd 0x1 <nil>
}

// A structure as crash prints it.
func ExampleKernel_Types() {
	k := tinyKernel()
	defer k.Dump().Close()
	types, err := k.Types()
	if err != nil {
		log.Fatal(err)
	}
	t, err := symbols.Find(types, "union rcu_special")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\nSIZE: %d\n", t.Declare(), t.Size())
	// Output:
	// union rcu_special {
	//     struct {
	//         u8 blocked;
	//         u8 need_qs;
	//         u8 exp_hint;
	//         u8 need_mb;
	//     } b;
	//     u32 s;
	// }
	// SIZE: 4
}
