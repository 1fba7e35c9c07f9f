package mm

import (
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// blockDevicePages counts the pages that block devices have in the page cache: of the inodes
// of their file system since 5.11 (22ae8ce8b892), of the list of all devices before.
func (m *Memory) blockDevicePages(ctx context.Context) (pages int64, err error) {
	ts, err := m.k.Types()
	if err != nil {
		return 0, err
	}
	head, t, member := uint64(0), (*symbols.Type)(nil), ""
	if sym, serr := m.k.Symbol("blockdev_superblock"); serr == nil {
		head, t, err = m.inodesOf(ts, sym.Addr)
		member = "i_sb_list"
	} else {
		var sym symbols.Symbol
		if sym, err = m.k.Symbol("all_bdevs"); err == nil {
			head, member = sym.Addr, "bd_list"
			t, err = symbols.Find(ts, "struct block_device", "bd_list")
		}
	}
	if err != nil {
		return 0, err
	}
	for o, err := range m.k.List(ctx, head, t, member) {
		if err != nil {
			return pages, fmt.Errorf("block devices: %w", err)
		}
		if member == "bd_list" {
			if o, err = o.Follow("bd_inode"); err != nil {
				return pages, err
			}
		}
		mapping, err := o.Follow("i_mapping")
		if err != nil {
			return pages, err
		}
		n, err := mapping.Uint("nrpages")
		if err != nil {
			return pages, err
		}
		pages += int64(n)
	}
	return pages, nil
}

// inodesOf is the list of the inodes of the super block that a variable points to.
func (m *Memory) inodesOf(ts symbols.Types, va uint64) (head uint64, inode *symbols.Type, err error) {
	super, err := symbols.Find(ts, "struct super_block", "s_inodes")
	if err != nil {
		return 0, nil, err
	}
	list, err := super.Member("s_inodes")
	if err != nil {
		return 0, nil, err
	}
	at, err := m.word(va)
	if err != nil {
		return 0, nil, err
	}
	inode, err = symbols.Find(ts, "struct inode", "i_sb_list")
	return at + list.Offset/8, inode, err
}

// maxSwapfiles is MAX_SWAPFILES_SHIFT, and maxSpaces what a swap area of 1 PiB has.
const (
	maxSwapfiles = 32
	maxSpaces    = 1 << 24
)

// swapCachePages counts the pages of the swap cache in kernels without NR_SWAPCACHE: an
// address space for each 64 MiB of a swap area (4.11 to 6.17, 4b3ef9daa4fc).
func (m *Memory) swapCachePages() (pages int64, err error) {
	ts, err := m.k.Types()
	if err != nil {
		return 0, err
	}
	counts, err := m.k.Symbol("nr_swapper_spaces")
	if err != nil {
		return 0, err
	}
	spaces, err := m.k.Global(ts, "swapper_spaces")
	if err != nil {
		return 0, err
	}
	var space kernel.Object
	for i := range uint64(maxSwapfiles) {
		if 4*i >= counts.Size {
			break
		}
		n, err := m.variableAt(4, counts.Addr+4*i)
		if err != nil || n < 0 || n > maxSpaces {
			return pages, errors.Join(err, fmt.Errorf("nr_swapper_spaces[%d] is %d: %w", i, n, phys.ErrCorrupt))
		}
		at, err := spaces.Index(i)
		if err != nil {
			return pages, err
		}
		for j := range uint64(n) {
			if space, err = at.Index(j); err != nil {
				return pages, err
			}
			used, err := space.Uint("nrpages")
			if err != nil {
				return pages, err
			}
			pages += int64(used)
		}
	}
	return pages, nil
}
