//go:build !race

package diskdump_test

const raceEnabled = false
