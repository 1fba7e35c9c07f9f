// Package diskdump reads and writes kdump-compressed dumps ("KDUMP   "), their ancestor "DISKDUMP",
// sets of them that makedumpfile --split wrote, and makedumpfile's flattened stream
// around any of these.
//
// A file is a row of blocks of block_size bytes (B), followed by packed data:
//
//	block 0        disk_dump_header    "KDUMP   ", version, utsname, block_size, max_mapnr
//	block 1        kdump_sub_header    sub_hdr_size (S) blocks: phys_base, split range,
//	...                                where VMCOREINFO, notes and eraseinfo stand; the notes
//	block 1+S      1st bitmap          bit p set: page p is memory of the machine
//	...            2nd bitmap          bit p set: page p has a descriptor in this file
//	D              page_desc[N]        24 bytes each, one for each bit of the 2nd bitmap
//	D+24N          page data           packed without alignment; compressed as flags says
//	...            eraseinfo           text, if makedumpfile erased something
//
//	page_desc   0        8      12      16           24
//	            | offset | size | flags | page_flags |
//
// Bits are counted from the least significant one of a byte, whatever the byte order.
// A descriptor's index is the number of bits set before its page's, from the part's
// first page on. Zero pages share one stored block of zeros.
//
// A flattened stream is a log of "these bytes go to that offset", for pipes:
//
//	0      "makedumpfile", type and version (big-endian 1, 1), zeros up to 4096
//	4096   records: offset, size (big-endian int64), then size bytes; the last write wins
//	end    offset and size both -1
//
// Authority: makedumpfile's IMPLEMENTATION text and diskdump_mod.h, crash's and
// libkdumpfile's readers for what is in the wild, QEMU's dump for the other writer.
// Read: header versions 0 to 6, 64-bit and the three 32-bit layouts, either byte order,
// blocks of 4 KiB to 1 MiB, pages raw or in zlib, LZO, snappy or zstd. Not read: the
// task pointers and registers of DISKDUMP. Written: version 6, whole, in parts, flattened;
// eraseinfo stands behind the notes there.
package diskdump
