package main

import (
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/vmcore"
)

// notedCPU is a processor of which only the note is left: its registers, and the stack that
// they begin.
type notedCPU struct {
	cpu   int
	regs  vmcore.Registers
	stack kernel.Stack
}

// fromNotes answers without tasks, where those that ran are asked for: by the registers in
// the notes. why is what keeps the tasks from being read; it is the answer where the notes
// do not help.
func (f *btFlags) fromNotes(env *environment, k *kernel.Kernel, words []string, why error) error {
	var usage *usageError
	if len(words) > 0 || f.all || f.ref != "" || env.chosen != nil || errors.As(why, &usage) ||
		f.text || f.textAll || f.entries || f.raw || f.full || f.symbolic || f.locals {
		return why
	}
	noted := f.notedCPUs(env, k)
	if len(noted) == 0 || env.ctx.Err() != nil {
		return why
	}
	env.partial = true
	if f.json {
		docs := make([]btStack, 0, len(noted))
		for _, c := range noted {
			doc := stackDocument(kernel.Task{PID: -1, CPU: c.cpu, State: kernel.StateUnknown}, c.stack)
			doc.Regs = notedRegisters(c.regs)
			docs = append(docs, doc)
		}
		return printJSON(env.out, btDocument{schema, docs, missing("tasks", why)})
	}
	env.warn("%v", why)
	b := &btPrinter{env: env, k: k, f: f}
	if f.lines {
		b.lines = newSourceLines(env, k)
	}
	for i, c := range noted {
		if i > 0 {
			fmt.Fprintln(env.out)
		}
		fmt.Fprintf(env.out, "CPU: %-4d (which task is not known: by the registers in the notes)\n", c.cpu)
		user := len(c.stack.Frames) == 0 && c.stack.Complete
		if !user { // which b.stack prints with them
			printFrameRegs(env.out, c.regs)
		}
		b.stack(kernel.Task{CPU: c.cpu}, c.stack)
	}
	return nil
}

// notedCPUs are the processors that are asked for: without a flag that which crashed, or all
// where that is not known.
func (f *btFlags) notedCPUs(env *environment, k *kernel.Kernel) (list []notedCPU) {
	notes, _ := k.Dump().CPUs()
	u, uerr := k.Unwinder(env.ctx)
	crashed, cerr := k.CrashCPU()
	one := cerr == nil && !f.active && !f.cpus.given()
	for i, cpu := range k.NoteCPUs() {
		if i >= len(notes) || one && cpu != crashed || !f.cpus.has(cpu) {
			continue
		}
		c := notedCPU{cpu: cpu, regs: notes[i].Regs, stack: kernel.Stack{Why: uerr}}
		if uerr == nil {
			c.stack = u.CPU(env.ctx, c.regs)
		}
		list = append(list, c)
	}
	return list
}

func notedRegisters(regs vmcore.Registers) map[string]hexAddress {
	out := make(map[string]hexAddress)
	for name, v := range regs.All() {
		out[name] = hexAddress(v)
	}
	return out
}
