package triage_test

import (
	"context"
	"fmt"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/triage"
	"github.com/kautopsy/kautopsy/vmcore"
)

// The verdict on a dump, from the dump alone.
func ExampleRun() {
	d, err := vmcore.Open("../testdata/tiny/vmcore.zlib", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer d.Close()
	k, err := kernel.Open(d, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	rep, err := triage.Run(context.Background(), k)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(rep.Verdict.Headline)
	fmt.Println(rep.Verdict.Kind, rep.Verdict.Culprit.Function, rep.Verdict.Culprit.Module, rep.Verdict.Confidence)
	fmt.Println(rep.Signature)
	// Output:
	// NULL pointer dereference in ck_null_work [crashkit], work item of crashkit_wq on CPU 0
	// null-dereference ck_null_work crashkit sure
	// null-dereference-1b88232b
}
