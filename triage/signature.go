package triage

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/oops"
)

// Signature names a crash so that the same one is known again on another boot, build or machine: the kind, and
// a hash over function names without compiler suffixes and plumbing. Addresses, offsets, PIDs and CPUs are not
// in it. Of the frames only the culprit is: which of its callers appear depends on what a compiler inlined.
//
//	null-dereference-9f3c61d2
func Signature(kind oops.Kind, functions []string) string {
	sum := sha256.Sum256([]byte(string(kind) + "\x00" + strings.Join(functions, "\x00")))
	return string(kind) + "-" + hex.EncodeToString(sum[:4])
}

// signatureOf is the signature of o, whose kind the verdict may have changed.
func signatureOf(o *oops.Oops, v *Verdict) string {
	switch {
	case v.Culprit != nil && v.Culprit.Function != "":
		return Signature(v.Kind, []string{v.Culprit.Function, v.Culprit.Module})
	case v.Kind == oops.HungTask:
		return Signature(v.Kind, waiters(o.Tasks))
	case v.Kind == oops.Panic && o.Panic != "":
		return Signature(v.Kind, []string{withoutNumbers(o.Panic)})
	}
	return Signature(v.Kind, nil)
}

// waiters are the functions in which tasks wait, each once, in alphabetical order.
func waiters(tasks []oops.Task) []string {
	var names []string
	for _, t := range tasks {
		if c := blockedCulprit(t.Trace); c != nil {
			names = append(names, Function(c.Symbol))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// withoutNumbers drops the words of a text that have digits: addresses, codes, names of devices.
func withoutNumbers(s string) string {
	words := strings.Fields(s)
	words = slices.DeleteFunc(words, func(w string) bool { return strings.ContainsAny(w, "0123456789") })
	return strings.Join(words, " ")
}
