package main

import (
	"fmt"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
)

// printRegisters prints the registers that each CPU left in the notes, by the names of its
// pt_regs.
func printRegisters(s *sheet, k *kernel.Kernel) {
	numbers := k.NoteCPUs()
	cpus, _ := k.Dump().CPUs() // what cannot be read is told by the caller already
	for _, c := range cpus {
		fmt.Fprintf(s.w, "\nCPU %d\n", numbers[c.Index])
		line := " "
		for name, v := range c.Regs.All() {
			word := fmt.Sprintf(" %8s %016x", name, v)
			if len(line)+len(word) > s.width {
				fmt.Fprintln(s.w, line)
				line = " "
			}
			line += word
		}
		if strings.TrimSpace(line) != "" {
			fmt.Fprintln(s.w, line)
		}
	}
}
