package triage_test

import (
	"fmt"
	"os"

	"github.com/kautopsy/kautopsy/triage"
)

// The verdict from a log alone.
func ExampleText() {
	text, err := os.ReadFile("../testdata/kinds/uaf.dmesg.txt")
	if err != nil {
		fmt.Println(err)
		return
	}
	r, _, err := triage.Text(text)
	if err != nil {
		fmt.Println(err)
		return
	}
	v := r.Verdict
	fmt.Println(v.Headline)
	fmt.Println(v.Kind, v.Confidence, v.Culprit.Function, v.Culprit.Module)
	fmt.Println(r.Signature)
	for _, f := range r.Findings[1:] {
		fmt.Println(f.Title)
	}
	// Output:
	// use after free in ck_uaf_use [crashkit], process collect on CPU 0
	// use-after-free likely ck_uaf_use crashkit
	// use-after-free-9492b0f5
	// POISON_FREE: memory that was already freed (slab poison 0x6b, end mark 0xa5) was used as a pointer
}

// Names of functions without what compilers put behind them.
func ExampleFunction() {
	fmt.Println(triage.Function("ck_do.part.0.cold"), triage.Function("__alloc_pages_noprof"))
	// Output: ck_do __alloc_pages
}
