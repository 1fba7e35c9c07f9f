// Package triage says what happened: the kind of a crash, the function and module to blame, the task and CPU it
// happened on, how sure that is and why, and a signature by which the same crash is known again.
//
// [Text] answers from kernel text alone. The same rules serve a dump, whose log is such a text and whose memory
// is a better witness: the unwound stack takes the place of the log's call trace, and is judged alone where the
// log is lost.
//
//	verdict.go    the document: Report, Verdict, Finding and what belongs to them
//	culprit.go    which frame is to blame; plumbing.go has the functions that never are
//	context.go    what the CPU was doing: process, work item, timer, interrupt
//	poison.go     values that betray freed or uninitialised memory
//	headline.go   the sentence
//	signature.go  the signature
//	text.go       text in, Report out
//	run.go        a dump in, Report out
//	scene.go      tasks, stacks and CPUs as memory shows them; stack.go puts them into a report
//	amend.go      what only memory tells, as findings:
//	              waits.go, lockname.go (who waits for whom), lockup.go (who holds a CPU), pointers.go (what registers
//	              lead to), operand.go (which address a fault was about), stackuse.go, memoryuse.go, witnesses.go
//	unreported.go a crash without a report in the log
//
// # Confidence
//
//	sure     the kernel names the kind, and the culprit is where the processor stood or the reliable caller of
//	         a function that only noticed
//	likely   one step was inferred: the kind from a poison value, the culprit from behind functions that might
//	         be at fault themselves, the cause from the order of several reports
//	guess    the evidence is unreliable: "?" frames only, or a text that lacks the report's main lines
package triage
