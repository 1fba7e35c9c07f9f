// Package crashshell drives the crash program as a supervised engine: one long-lived child
// answers many commands, each with a deadline, a bound on its output and an error when it
// fails.
//
// crash itself gives none of that. It exits with status 0 after commands that failed and
// with status 1 at the end of its input, prints errors among the answers, ignores SIGTERM,
// runs what .crashrc and .gdbinit say, hands words that it does not know to gdb, whose
// commands reach a shell, cuts lines over 1498 bytes and runs the rest as a second command,
// may repeat an old line after SIGINT, and ends when the thread that started it ends. What
// this package does about each stands with the code that does it; all of it was measured
// with crash 7.2.9, 8.0.2, 8.0.6 and 9.0.2.
//
//	Session  one dump: queue of callers, deadlines, restarts       session.go
//	child    one process: thread, limits, pipes, its end           child.go
//	framing  where one answer ends and the next begins             framing.go
//	Check    which commands may be sent                            check.go
//	Program  which crash, and what it is known to get wrong        program.go, doubts.go
//	Typed    answers as values: Sys, Backtraces, Processes, Irqs…  typed.go
//	ParseTranscript  the same of a recorded session               transcript.go
//
// The package knows no dump format: what a dump holds is for package vmcore.
package crashshell
