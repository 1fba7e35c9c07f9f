package guesttest

import "testing"

// Unpacked is the name of a file; one that is packed with xz is unpacked.
func Unpacked(t testing.TB, name string) string {
	t.Helper()
	return unpacker.File(t, name)
}
