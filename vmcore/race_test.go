//go:build race

package vmcore_test

// raceEnabled: the race detector makes sync.Pool drop what is put into it.
const raceEnabled = true
