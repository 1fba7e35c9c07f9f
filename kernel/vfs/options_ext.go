package vfs

import (
	"errors"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
)

// What to do about errors is in the same bits of s_mount_opt in ext2 and ext4.
var extErrors = []struct {
	bit  uint64
	disk uint64 // s_errors of the super block on disk
	word string
}{{0x20, 2, "errors=remount-ro"}, {0x10, 1, "errors=continue"}, {0x40, 3, "errors=panic"}}

// ext2Options: ext2_show_options tells what to do about errors when it is not what the disk
// says, and "continue" always.
func ext2Options(s super) ([]string, bool, error) {
	o, err := s.private("struct ext2_sb_info")
	if err != nil {
		return nil, false, err
	}
	f := o.Fields()
	opt := f.Uint("s_mount_opt")
	w, err := errorOptions(o, opt, true)
	if err != nil {
		return nil, false, err
	}
	const reservation = 0x80000
	w.add(opt&reservation == 0, "noreservation")
	return w, opt&^(extErrorBits|reservation) == 0, f.Err()
}

const extErrorBits = 0x70

// errorOptions is what to do about errors where the disk says something else. Its super
// block is in the page cache, which dump filters leave out: then it is taken to say what
// mkfs lets it say, to go on.
func errorOptions(sbi kernel.Object, opt uint64, always bool) (w words, err error) {
	es, err := sbi.Follow("s_es")
	if err != nil {
		return nil, err
	}
	disk, err := es.Uint("s_errors")
	if errors.Is(err, phys.ErrExcluded) {
		disk, err = 1, nil
	}
	for _, e := range extErrors {
		w.add(opt&e.bit != 0 && (disk != e.disk || always && e.disk == 1), "%s", e.word)
	}
	return w, err
}

// ext4Bits are options that are told when they differ from the file system's defaults
// (ext4_mount_opts of fs/ext4/super.c, bits of fs/ext4/ext4.h); on and off are the words.
var ext4Bits = []struct {
	bit     uint64
	on, off string
}{
	{0x80, "minixdf", "bsddf"},
	{0x4, "grpid", "nogrpid"},
	{0x2000000, "block_validity", "noblock_validity"},
	{0x400000, "dioread_nolock", "dioread_lock"},
	{0x40000000, "discard", "nodiscard"},
	{0x8000000, "delalloc", "nodelalloc"},
	{0x800000, "journal_checksum", "nojournal_checksum"},
	{0x1000000, "journal_async_commit", ""},
	{0x20000, "barrier", "nobarrier"},
	{0x10000, "noauto_da_alloc", "auto_da_alloc"},
	{0x4000, "user_xattr", "nouser_xattr"},
	{0x8000, "acl", "noacl"},
	{0x2000, "nouid32", ""},
}

// ext4Data are the modes of the journal, in the two bits of 0xc00.
var ext4Data = map[uint64]string{0x400: "data=journal", 0x800: "data=ordered", 0xc00: "data=writeback"}

// ext4Options are what _ext4_show_options tells. Its types are those of a module: kernels
// before 5.11 do not bring them.
func ext4Options(s super) ([]string, bool, error) {
	o, err := s.private("struct ext4_sb_info")
	if err != nil {
		return nil, false, err
	}
	f := o.Fields()
	opt := f.Uint("s_mount_opt")
	differs := opt ^ f.Uint("s_def_mount_opt")
	var w words
	for _, b := range ext4Bits {
		w.add(differs&b.bit != 0 && opt&b.bit != 0, "%s", b.on)
		w.add(differs&b.bit != 0 && opt&b.bit == 0 && b.off != "", "%s", b.off)
		differs &^= b.bit
	}
	w.add(f.Uint("s_resuid.val", "s_resuid") != 0, "resuid=%d", f.Uint("s_resuid.val", "s_resuid"))
	w.add(f.Uint("s_resgid.val", "s_resgid") != 0, "resgid=%d", f.Uint("s_resgid.val", "s_resgid"))
	onError, err := errorOptions(o, opt, false)
	w = append(w, onError...)
	w.add(f.Uint("s_stripe") != 0, "stripe=%d", f.Uint("s_stripe"))
	if mode := opt & 0xc00; differs&0xc00 != 0 && mode != 0 {
		w.add(true, "%s", ext4Data[mode])
	}
	blocks := f.Uint("s_inode_readahead_blks")
	w.add(blocks != 32, "inode_readahead_blks=%d", blocks)
	size := f.Uint("s_max_dir_size_kb")
	w.add(size != 0, "max_dir_size_kb=%d", size)
	if err == nil {
		err = f.Err()
	}
	return w, differs&^(extErrorBits|0xc00) == 0, err
}
