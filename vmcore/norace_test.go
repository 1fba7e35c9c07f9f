//go:build !race

package vmcore_test

const raceEnabled = false
