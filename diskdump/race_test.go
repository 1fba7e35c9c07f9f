//go:build race

package diskdump_test

// raceEnabled: the race detector makes sync.Pool drop what is put into it.
const raceEnabled = true
