// Package elfcore reads and writes ELF vmcores: /proc/vmcore and its copies, makedumpfile -E,
// QEMU's dump-guest-memory, virsh dump --memory-only, /proc/kcore, netdump, VirtualBox.
//
//	ehdr            e_phoff, e_phnum; the rest is not trusted
//	shdr[0]         anywhere (e_shoff); sh_info is the number of phdrs when e_phnum is 0xffff
//	phdr[n]         anywhere (e_phoff), e_phentsize apart
//	  PT_NOTE       any number of areas: registers of CPUs, VMCOREINFO
//	  PT_LOAD       p_memsz bytes of memory at p_paddr:
//
//	  p_paddr            +p_filesz               +p_memsz
//	     | in the file at   | not in the file: left   |
//	     | p_offset         | out, or it was all zero |
//
// Segments may overlap (x86-64 kernels have their image in two), need not be aligned
// and may lie beyond the end of a truncated file. All of that is resolved once, into a
// sorted list of extents without overlap (Memory); a read is then a binary search and a
// ReadAt, without an allocation.
//
// Sources: ELF gABI; Linux fs/proc/vmcore.c, fs/proc/kcore.c, kernel/crash_core.c;
// kexec-tools crashdump-elf.c; makedumpfile elf_info.c and write_elf_*; QEMU
// dump/dump.c. Classes 32 and 64, both byte orders, every e_machine.
//
// Not read: virtual addresses without a physical one (vmalloc in /proc/kcore, the kcore
// of kernels before 4.11), Xen domain cores (their memory is in sections), s390
// protected-virtualization dumps (encrypted), cores of user processes. New names each of
// them and says what to use.
package elfcore
