// Package kautopsy is the root of a module that says what happened to a Linux machine from
// its crash dump alone: a library first, a command (cmd/kautopsy) on top.
//
//	vmcore      open any dump: physical memory, notes, VMCOREINFO, registers
//	kernel      the kernel inside the dump: addresses, symbols, log, banner
//	kernel/mm   its memory: what an address is, slab caches, page frames
//	triage      the verdict: kind, culprit, evidence, signature
//	oops        kernel text to structured oopses; standard library only
//	symbols     kallsyms and module symbols from memory
//	diskdump    kdump-compressed, split and flattened files
//	elfcore     ELF vmcores
//	phys        page numbers, spans, and why memory cannot be had
//
// A program that prints the verdict on a dump:
//
//	d, err := vmcore.Open("/var/crash/x/vmcore", nil)
//	k, err := kernel.Open(d, nil)
//	rep, err := triage.Run(ctx, k)
//	fmt.Println(rep.Verdict.Headline)
package kautopsy
