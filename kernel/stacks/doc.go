// Package stacks shows the stacks of all tasks of a dump at once: as a pprof profile, as
// folded lines, and as a flame graph in one HTML page. One task is one sample.
package stacks

import "github.com/kautopsy/kautopsy/kernel"

// frameName is how a frame is called in all three: its function, with the module in
// brackets, as flame graphs of the kernel have it.
func frameName(f kernel.Frame) string {
	switch {
	case f.Symbol.Name == "":
		return "(unknown)"
	case f.Symbol.Module != "":
		return f.Symbol.Name + " [" + f.Symbol.Module + "]"
	}
	return f.Symbol.Name
}

// noFrames is what stands for the stack of a task that has none to show.
func noFrames(t kernel.Task) string {
	if t.OnCPU {
		return "(in user mode)"
	}
	return "(no stack)"
}
