// Command importer is what somebody else's program looks like that takes a verdict from the
// library: it imports three packages and prints one line.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/triage"
	"github.com/kautopsy/kautopsy/vmcore"
)

func main() {
	line, err := verdict(os.Args[1])
	if err != nil {
		line = "no verdict: " + err.Error()
	}
	fmt.Println(line)
}

func verdict(file string) (string, error) {
	d, err := vmcore.Open(file, nil)
	if err != nil {
		return "", err
	}
	defer d.Close()
	k, err := kernel.Open(d, nil)
	if err != nil {
		return "", err
	}
	r, err := triage.Run(context.Background(), k)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s: %s (%s), %d missing", r.Signature, r.Verdict.Headline, r.Verdict.Confidence, len(r.Missing)), nil
}
