// Package oops reads kernel text - a dump's log, vmcore-dmesg.txt, a serial console, a journal, a bug report
// with a log pasted into it - and returns the reports in it as structures: oopses, warnings, lockups, stalls,
// hung tasks, out-of-memory reports, panics.
//
//	line        [   25.102072] [   C1] BUG: kernel NULL pointer dereference, address: 0000000000000000
//	            |-- stamp ---| |caller||-- message -------------------------------------------------|
//
//	report      [------------[ cut here ]------------]     where it begins (BUG, WARN)
//	            headline                                   gives Kind and Title
//	            [die line: "Oops: 0002 [#1] SMP PTI"]      the oops counter, the error code
//	            CPU: line, Hardware name:, Workqueue:      State
//	            RIP: line, Code:, registers                State.PC, State.Code, State.Registers
//	            Call Trace:  <IRQ> ... </IRQ> <TASK> ...   State.Trace
//	            Modules linked in:                         State.Modules
//	            [---[ end trace 0000000000000000 ]---]
//	            [Kernel panic - not syncing: TEXT]         Panic, joined to the report that it ends
//
// The wordings are those of Linux 2.6.32 to 7.x on x86-64 and arm64; i386 reports, and the headlines of s390x,
// ppc64 and riscv64, are known too. No wording is tied to a kernel version: whatever form a line has is read.
//
// A text can hold many reports of many boots. [Parse] puts the one that explains the crash first; cause.go has
// the rules. What a text does not hold is absent from the result: a nil pointer, an empty string, never a zero
// that could be taken for a reading.
//
// Parse never panics, takes time linear in the text and memory bounded by what it returns; the text may be cut,
// interleaved, full of NULs and escape sequences, or no log at all.
package oops
