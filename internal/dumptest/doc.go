// Package dumptest makes dumps for tests: from a memory image built in Go, or from a
// recipe, which is text. It is the writer beside kautopsy's readers and shares no table
// with them: the offsets here are the literal ones of makedumpfile's structures, so that
// a mistake in a reader's layout does not hide behind the same mistake in its tests.
//
//	m := &dumptest.Image{PageSize: 4096, Pages: map[phys.PFN][]byte{0x10: page}}
//	file, err := m.KDUMP(dumptest.DefaultKDUMP())
//
// A recipe is lines of words; a word is bare or a quoted Go string, and # begins a
// comment. A line that begins with "page" tells the state of a page or a range (both ends
// included), any other line sets what its keys name:
//
//	format kdump version 6 order le ptr 8 page 4096 codec mixed
//	arch x86_64 notes 2 vmcoreinfo "OSRELEASE=6.1.0\n"
//	page 0x10      zero
//	page 0x11      fill "task_struct"
//	page 0x12-0x14 excluded
//	page 0x15      random 7
//	page 0x16      lost
//	page 0x17      corrupt payload[7]^=0x40
//	page 0x18      corrupt desc.size=0
//
//	format      kdump, diskdump, elf, lime, avml or raw
//	version     header_version of kdump and diskdump, 0 to 6
//	order       le or be
//	ptr         8, 4 (ARM, MIPS, PPC32) or 4packed (i386, and QEMU for every 32-bit machine)
//	time        32 or 64: width of time_t in a 32-bit main header
//	page        block size in bytes
//	codec       raw, zlib, lzo, snappy, zstd or mixed (each in turn)
//	arch        machine of utsname; node and release are its nodename and release
//	seconds     when the machine crashed; usec the microseconds
//	notes       number of NT_PRSTATUS notes; vmcoreinfo and eraseinfo are text
//	physbase    phys_base; relative: bit 0 of the bitmaps is its page (32-bit ARM)
//	split       number of parts; flat: wrapped in a flattened stream, shuffle SEED its
//	            records, overlap writes each twice, noend without the end mark
//	incomplete  the writer's mark; single: one bitmap; maxpfn: one past the last page;
//	            keepzero: zero pages are stored like others
//
// What a dump must give back is told in the same words, by the section "expect" of a
// recipe's file (see Load); one expectation serves every container, since a container
// must not change the memory image.
package dumptest
