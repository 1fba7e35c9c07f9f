// Package symbols gives names to the addresses of a crashed kernel, and addresses to
// names.
//
// A kernel built with CONFIG_KALLSYMS carries its own symbol table, the one behind
// /proc/kallsyms, in its read-only data, and so in every dump. Kallsyms reads it by the
// addresses in VMCOREINFO or, before 6.0, by a scan of the kernel image; nothing but the
// image's own mapping is needed. Modules and ModuleSymbols find what loaded modules add,
// without type information. Merge makes one Table of both.
//
//	kernel, err := symbols.Kallsyms(mem, image)     // err may come with a table: part of it is lost
//	list, err := kernel.Lookup("modules")
//	for m, err := range symbols.Modules(mem, abi, list.Addr) {
//		t, err := symbols.ModuleSymbols(mem, abi, m)
//		…
//	}
//	s, offset, err := all.At(0xffffffff81000123)
//
// # kallsyms
//
// Sources: scripts/kallsyms.c, kernel/kallsyms.c of 2.6.32 to 7.2. The tables:
//
//	kallsyms_num_syms     u32, an unsigned long until 4.19: n
//	kallsyms_names        n times  | length | token | token | …     in order of address
//	                      length   0xxxxxxx or, 6.1 on, 1xxxxxxx xxxxxxxx (low bits first)
//	kallsyms_markers      u32, an unsigned long until 4.19: offset in names of every 256th
//	kallsyms_seqs_of_names  3 bytes each: the order by name (6.2 on); not used here
//	kallsyms_token_table  256 strings, each with its NUL
//	kallsyms_token_index  u16[256]: offset of each string
//	kallsyms_offsets      s32[n], or kallsyms_addresses: unsigned long[n]
//	kallsyms_relative_base  unsigned long
//
//	length 3, tokens 0x54 0x8a 0x31   "T" + "init_" + "1"   =  T init_1
//	                  |
//	                  the first character of all is nm's type letter
//
// They stand in one of these orders, each table aligned to 8 (4 on 32 bit, 4 in 7.x):
//
//	… 4.5       addresses num_syms names markers token_table token_index
//	4.6 … 6.3   offsets|addresses [relative_base] num_syms names markers [seqs] token_table token_index
//	6.4 … 6.19  num_syms names markers token_table token_index offsets|addresses [relative_base] seqs
//	7.0 …       num_syms names markers token_table token_index offsets seqs
//
// and keep the address of symbol i in one of these ways:
//
//	absolute          … 6.10      addresses[i]
//	base relative     4.6 … 6.19  relative_base + (u32)offsets[i]
//	absolute per-CPU  4.6 … 6.14  offsets[i] if that is not negative, else relative_base - 1 - offsets[i]
//	place relative    7.0 …       &offsets[i] + offsets[i]
//
// Which of them a kernel has is never asked of its version, since distributions port
// these changes back: the markers agree with one coding of lengths only, and one way to
// keep addresses gives _stext the value that VMCOREINFO has for it. Without that value,
// the addresses must be sorted and lie in the image.
//
// # Modules
//
//	struct module  0       ptr         3 ptr
//	               | state | list_head | name[64 - ptr] | …
//	  5.2 on       … | symtab | num_symtab | strtab | typetab |      struct mod_kallsyms
//	  4.5 … 5.1    … | symtab | num_symtab | strtab |
//	  … 4.4        … | symtab | core_symtab | num_symtab, core_num_syms | strtab | core_strtab |
//
// symtab is an array of Elf64_Sym or Elf32_Sym whose values the kernel has relocated.
// The place in struct module differs with every configuration; it is found by what it
// leads to: a null symbol, names that are text, letters, values in the memory of modules
// and __this_module, which is the address of the struct module itself.
//
// Not read: BPF programs, ftrace trampolines and kprobe slots, which /proc/kallsyms lists
// behind the modules and which live in lists of other subsystems. New takes them.
package symbols
