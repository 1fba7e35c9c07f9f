// Package debuginfo finds the debug information of a kernel and of its modules: the vmlinux
// and the .ko files that belong to a dump, by their build-ids.
//
//	finder.go    Finder: what was asked for, where it looks, in which order
//	places.go    where the packages of the distributions put such files
//	image.go     what an ELF file says of itself: build-id, srcversion, has it DWARF
//	pack.go      packed files as streams: xz, gzip, zstd, bzip2, lzma
//	xzblocks.go  xz of many blocks, unpacked side by side
//	archive.go   the files in packages: .deb, .ddeb (deb.go), .rpm (rpm.go, cpio.go)
//	vmlinuz.go   the kernel in a bootable image
//	cache.go     where unpacked files are kept
//	fetch.go     debuginfod servers; the only code of kautopsy that uses the network
//	hint.go      which package has what was not found
//
// Nothing is taken because it has the right name: a file counts when its build-id is the
// dump's. Where the dump does not know one, the kernel's banner or a module's srcversion
// decides. A file that was named and is of another build is a MismatchError; one that was
// met on a search is passed over and remembered, see Finder.Trail.
//
// Packages are read in place, as streams. No name in them becomes a path, and what they
// unpack to is bounded.
package debuginfo
