// Package triage says what happened: the kind of a crash, the function and module to blame, the task and CPU it
// happened on, how sure that is and why, and a signature by which the same crash is known again.
//
// [Text] answers from kernel text alone. The same rules serve a dump, whose log is such a text.
//
//	verdict.go    the document: Report, Verdict, Finding and what belongs to them
//	culprit.go    which frame is to blame; plumbing.go has the functions that never are
//	context.go    what the CPU was doing: process, work item, timer, interrupt
//	poison.go     values that betray freed or uninitialised memory
//	headline.go   the sentence
//	signature.go  the signature
//	text.go       text in, Report out
//
// # Confidence
//
//	sure     the kernel names the kind, and the culprit is where the processor stood or the reliable caller of
//	         a function that only noticed
//	likely   one step was inferred: the kind from a poison value, the culprit from behind functions that might
//	         be at fault themselves, the cause from the order of several reports
//	guess    the evidence is unreliable: "?" frames only, or a text that lacks the report's main lines
package triage
