package kernel_test

import (
	"context"
	"fmt"
	"log"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/vmcore"
)

// The stack of the processor that crashed.
func ExampleKernel_Unwind() {
	d, err := vmcore.Open("../testdata/tiny/vmcore.zlib", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	k, err := kernel.Open(d, nil)
	if err != nil {
		log.Fatal(err)
	}
	cpus, err := d.CPUs()
	if err != nil {
		log.Fatal(err)
	}
	stack, err := k.Unwind(context.Background(), cpus[0].Regs)
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range stack.Frames {
		fmt.Printf("%-11s %s\n", f.Kind, f)
	}
	fmt.Println(stack.How, stack.Complete, stack.Why)
	// Output:
	// interrupted ck_null_work+0x7/0x1f [crashkit]
	// call        process_scheduled_works+0x147/0x215
	// call        worker_thread+0x136/0x1ae
	// call        kthread+0xb6/0xbe
	// call        ret_from_fork+0x1c/0x2e
	// call        ret_from_fork_asm+0x11/0x20
	// ORC true <nil>
}
