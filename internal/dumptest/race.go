//go:build race

package dumptest

// Race: the race detector is on, under which sync.Pool drops some of what is put into it. Counts of
// allocations and of reads mean nothing then.
const Race = true
