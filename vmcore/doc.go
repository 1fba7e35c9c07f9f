// Package vmcore opens crash dumps of Linux machines, whatever their container, and gives
// what is in them: physical memory, notes, VMCOREINFO, the registers of each CPU. What the
// kernel in that memory means is package kernel's.
//
//	                 Open, New
//	                    │  unwraps a flattened stream, then the magic at offset 0 decides
//	  ┌────────┬────────┼────────┬────────┬────────┐
//	KDUMP   DISKDUMP   ELF     LiME     AVML     s390 …   Container: pages, their states
//	  └────────┴────────┼────────┴────────┴────────┘
//	                  Dump          ReadPhys   bytes at any address, through a bounded cache
//	                                Pages      every page in order, decoded in parallel
//	                                Notes, VMCoreInfo, CPUs, Verify
//
// What is no dump is refused with a *NotADump, which names it and says what to do. Memory that
// cannot be had is an error that wraps one of the reasons of package phys, never zeros.
package vmcore
