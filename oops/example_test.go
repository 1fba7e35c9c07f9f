package oops_test

import (
	"fmt"
	"os"

	"github.com/kautopsy/kautopsy/oops"
)

// A console capture: which report counts, and what it says.
func ExampleParse() {
	text, err := os.ReadFile("../testdata/kinds/null-timer.console.txt")
	if err != nil {
		fmt.Println(err)
		return
	}
	log, err := oops.Parse(text)
	if err != nil {
		fmt.Println(err)
		return
	}
	o := log.Oopses[0]
	fmt.Println(o.Kind, "at", o.PC)
	fmt.Println(o.Title)
	fmt.Printf("line %d, CPU %d, %s, %s access to %s\n", o.TitleLine, *o.CPU, o.Comm, o.Fault.Access, o.Fault.Address)
	for _, f := range o.Trace[:3] {
		fmt.Println(f.Context, f, f.Unsure)
	}
	// Output:
	// null-dereference at ck_null_timer+0xc/0x30 [crashkit]
	// BUG: kernel NULL pointer dereference, address: 0000000000000000
	// line 399, CPU 1, swapper/1, write access to 0x0
	// irq call_timer_fn+0x27/0x130 false
	// irq ck_null_offset+0x30/0x30 [crashkit] true
	// irq __run_timers+0x222/0x2c0 false
}

// Hung tasks: who waits, and where.
func ExampleParse_hungTasks() {
	text, err := os.ReadFile("../testdata/kinds/abba.dmesg.txt")
	if err != nil {
		fmt.Println(err)
		return
	}
	log, err := oops.Parse(text)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, o := range log.Oopses {
		for _, t := range o.Tasks {
			fmt.Printf("%s (%d) %s for %d s in %s\n", t.Comm, *t.PID, t.State, t.Seconds, t.Trace[5])
		}
	}
	// Output:
	// ck-abba-one (190) D for 8 s in ck_abba_one+0x35/0x70 [crashkit]
	// ck-abba-two (191) D for 8 s in ck_abba_two+0x35/0x70 [crashkit]
}

func ExampleTaintWords() {
	fmt.Println(oops.TaintWords("GOEL"))
	// Output: [OOT_MODULE UNSIGNED_MODULE SOFTLOCKUP]
}
