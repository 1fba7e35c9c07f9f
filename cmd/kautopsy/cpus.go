package main

import (
	"fmt"
	"strconv"
	"strings"
)

// cpuSet is the value of a flag that names CPUs as crash takes them: "1", "0,2-4", "a" for
// all. The zero set is all.
type cpuSet struct {
	text string
	on   map[int]bool
}

// maxCPU bounds what a list may name; Linux is built for 8192 at most.
const maxCPU = 1 << 16

// Set reads a list.
func (c *cpuSet) Set(list string) error {
	*c = cpuSet{text: list}
	if list == "" || list == "a" || list == "all" {
		return nil
	}
	c.on = make(map[int]bool)
	for _, part := range strings.Split(list, ",") {
		from, to, span := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		last := first
		if err == nil && span {
			last, err = strconv.Atoi(to)
		}
		if err != nil || first < 0 || last < first || last >= maxCPU {
			return fmt.Errorf("%q is no list of CPUs like 0,2-3", list)
		}
		for cpu := first; cpu <= last; cpu++ {
			c.on[cpu] = true
		}
	}
	return nil
}

// String is the list as it was given.
func (c *cpuSet) String() string { return c.text }

// Type is what the flag takes.
func (c *cpuSet) Type() string { return "CPUS" }

// given tells whether the flag was used.
func (c *cpuSet) given() bool { return c.text != "" }

// has tells whether the CPU is asked for.
func (c *cpuSet) has(cpu int) bool { return c.on == nil || c.on[cpu] }
