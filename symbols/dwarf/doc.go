// Package dwarf reads the debug information of kernels and modules: vmlinux, .ko, .ko.debug.
//
//	f, err := dwarf.Open(r, size)            // any io.ReaderAt
//	for u, err := range f.Units() {          // their headers only
//		e, err := u.Entries()                // the bytes of one unit
//		for e.Next() {
//			if e.Tag == dwarf.TagSubprogram {
//				name, err := e.Name()
//				…
//				e.SkipChildren()
//			}
//		}
//		err = e.Err()
//	}
//
//	chain, err := f.Source(addr)             // the line, and what was inlined there
//
// A vmlinux with debug information has 600 MB and more, so nothing that grows with it stays
// in memory: sections are read by ReadAt, a unit at a time, and what is kept of units that
// were touched has a bound. A File is safe for many goroutines; it keeps no lock while it
// reads.
//
//	doc.go       this
//	elf.go       Open, build ID, sections; symbol.go symbols
//	section.go   the bytes of a section: plain, compressed, relocated
//	reloc.go     relocations of ET_REL
//	unit.go      units and their headers, root.go what the first entry says
//	abbrev.go    abbreviations
//	form.go      forms and values, constants.go their numbers
//	entries.go   the walk over the entries of a unit
//	ranges.go    addresses of an entry: DW_AT_low_pc, .debug_ranges, .debug_rnglists
//	aranges.go   the unit of an address
//	line.go      line tables, line_header.go their heads
//	source.go    the line of an address and the functions that are inlined there
//	cache.go     what is kept of units that were touched
//	names.go     the index of names, names_cache.go what of it is kept on disk
//	frame.go     call frame information: frame_row.go runs it, frame_caller.go applies it,
//	             expression.go computes expressions, place.go those that describe places
//	locals.go    the variables of functions, location.go where they are at an address,
//	             callsite.go what a caller passed
//	types.go     types, types_shape.go those with members; variable.go variables
//
// # The formats
//
// DWARF 2 to 5, 32-bit and 64-bit (dwarfstd.org; the kernel's compilers write 4 and 5):
//
//	.debug_info     unit | unit | …
//	unit            unit_length, version, [5: unit_type, address_size], debug_abbrev_offset,
//	                [2 to 4: address_size], entries
//	entry           code (ULEB128), values; code 0 ends the children of the entry above
//	.debug_abbrev   code, tag, children, (attribute, form)* 0 0     of each code a unit uses
//	.debug_aranges  per unit: unit_length, version 2, debug_info_offset, address_size,
//	                segment_size, padding, (address, length)* 0 0
//
//	.debug_line     per unit: header, folders, files, and a program that makes rows of
//	                (address, file, line); see line_header.go
//
// The sections of ELF (System V gABI, chapter 4 and 5):
//
//	ET_EXEC, ET_DYN   vmlinux. Relocations that were kept (--emit-relocs, Debian) are never
//	                  read: ld has applied them.
//	ET_REL            a module. Every section begins at address 0, so each that is loaded is
//	                  given a place of its own here, as if they lay one behind the other;
//	                  relocations are applied as bytes are read.
//	SHF_COMPRESSED    zlib (1) or zstd (2) behind an ElfN_Chdr; .zdebug_* is the older form:
//	                  "ZLIB", length as 8 bytes big-endian, zlib. Up to 8 MiB are unpacked in
//	                  memory, more into a file that has no name.
//
// Split units are read from their .dwo or .dwp (split.go, package.go; FindSplit), but their types are
// not found by name. Not read: supplementary files of dwz, .debug_types. What refers to them
// fails with phys.ErrUnsupported, and the rest answers.
//
// Errors wrap a reason of package phys and name the section and the offset in it
// (bin.DecodeError). Input is not trusted: all counts, lengths and chains are bounded.
package dwarf
