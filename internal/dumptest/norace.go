//go:build !race

package dumptest

// Race: see race.go.
const Race = false
