// Package dataflow tells what the registers of a function hold at one of its instructions,
// in the words of its source: it begins with the arguments, whose types BTF has, and follows
// them through moves, loads and spills to the stack.
//
//	value.go     what a register holds, as far as it is known
//	state.go     registers and stack at one instruction; what an instruction makes of them
//	load.go      what loads from memory are called: members, variables
//	function.go  all ways through a function
//	abi.go       where arguments are, and what a call changes
//
//	rdi = w, a struct widget *       mov 0x10(%rdi),%rax     rax = w->next, a struct widget *
//	                                 incl 0x28(%rax)         w->next->counter
//
// It gives up rather than to guess. A value that is not the same on all ways to the
// instruction keeps its type at most; a function with a jump that leads nobody knows where,
// as of a switch by a table, tells nothing; neither does code that only such a jump or an
// exception reaches. What still may be wrong: a type that the source casts away, and a
// compiler that changes a function's arguments without a word (a suffix .isra says it).
package dataflow
