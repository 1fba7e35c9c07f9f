package kernel_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/vmcore"
)

// open opens the kernel in a dump; the examples share it.
func open(name string) *kernel.Kernel {
	d, err := vmcore.Open(name, nil)
	if err != nil {
		log.Fatal(err)
	}
	k, err := kernel.Open(d, nil)
	if err != nil {
		log.Fatal(err)
	}
	return k
}

// The last records of the log.
func ExampleKernel_Log() {
	k := open("../testdata/tiny/vmcore.zlib")
	defer k.Dump().Close()
	var last [][]byte
	for r, err := range k.Log(context.Background()) {
		if err != nil {
			log.Print(err)
			continue
		}
		last = append(last, kernel.Format{Level: true}.Append(nil, r))
	}
	for _, line := range last[len(last)-3:] {
		os.Stdout.Write(line)
	}
	// Output:
	// [    7.904460] <4> </TASK>
	// [    7.904460] <4>Modules linked in: crashkit(O)
	// [    7.904460] <4>CR2: 0000000000000000
}

// A symbol of the kernel, and one of a module.
func ExampleKernel_Symbol() {
	k := open("../testdata/tiny/vmcore.zlib")
	defer k.Dump().Close()
	s, err := k.Symbol("linux_banner")
	fmt.Println(s, err)
	all, err := k.AllSymbols(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	s, offset, err := all.At(s.Addr + 6)
	fmt.Printf("%s+%d %v\n", s.Name, offset, err)
	s, err = all.Lookup("ck_null_work")
	fmt.Println(s.Name, s.Module, err)
	// Output:
	// ffffffff8ca39960 D linux_banner <nil>
	// linux_banner+6 <nil>
	// ck_null_work crashkit <nil>
}

// A virtual address becomes a physical one without a look at page tables where a rule
// says so; Walk shows the way through the tables.
func ExampleKernel_Translate() {
	k := open("../testdata/tiny/vmcore.zlib")
	defer k.Dump().Close()
	s, err := k.Symbol("linux_banner")
	if err != nil {
		log.Fatal(err)
	}
	a, err := k.Translate(s.Addr)
	fmt.Printf("%#x is at physical %#x, %v\n", s.Addr, uint64(a), err)
	space, err := k.Space()
	if err != nil {
		log.Fatal(err)
	}
	w, err := space.Walk(s.Addr)
	for _, step := range w.Steps {
		fmt.Println(step.Level)
	}
	fmt.Println(w.Addr == a, w.PageSize, err)
	b := make([]byte, 13)
	n, err := k.ReadVirt(b, s.Addr)
	fmt.Printf("%q %v\n", b[:n], err)
	// Output:
	// 0xffffffff8ca39960 is at physical 0x5a39960, <nil>
	// PGD
	// PUD
	// PMD
	// true 2097152 <nil>
	// "Linux version" <nil>
}

// What the kernel says of itself.
func ExampleKernel_System() {
	k := open("../testdata/tiny/vmcore.zlib")
	defer k.Dump().Close()
	s := k.System(context.Background())
	fmt.Println(s.Nodename, s.Release, s.Machine)
	fmt.Println(s.CPUs, "CPUs,", s.Tasks, "tasks, up", s.Uptime)
	fmt.Println("missing:", len(s.Missing))
	// Output:
	// inner-host 6.12.107-tiny x86_64
	// 2 CPUs, 120 tasks, up 7.90446075s
	// missing: 0
}
