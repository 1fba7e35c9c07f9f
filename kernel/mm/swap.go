package mm

import (
	"context"
	"errors"
	"fmt"

	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/phys"
	"github.com/kautopsy/kautopsy/symbols"
)

// SwapArea is a swap file or partition in use: struct swap_info_struct.
type SwapArea struct {
	kernel.Object

	Name       string // path of the file or device
	Partition  bool   // a block device, not a file
	Size, Used uint64 // bytes
	Priority   int
	Err        error // what could not be read of it
}

// Flags of swap_info_struct that never moved (include/linux/swap.h).
const (
	swapUsed    = 1 << 0
	swapWriteOK = 1 << 1
)

// Swaps are the swap areas, as /proc/swaps lists them.
func (m *Memory) Swaps(ctx context.Context) (areas []SwapArea, err error) {
	n, err := m.int("nr_swapfiles")
	if errors.Is(err, symbols.ErrNoSymbol) && !m.built("si_swapinfo") {
		return nil, nil // without swap
	}
	if err != nil {
		return nil, fmt.Errorf("swap areas: %w", err)
	}
	if n < 0 || n > maxSwapfiles {
		return nil, fmt.Errorf("nr_swapfiles is %d: %w", n, phys.ErrCorrupt)
	}
	ts, err := m.k.Types()
	if err != nil {
		return nil, fmt.Errorf("swap areas: %w", err)
	}
	table, err := m.k.Global(ts, "swap_info")
	if err != nil {
		return nil, fmt.Errorf("swap areas: %w", err)
	}
	for i := range uint64(n) {
		if ctx.Err() != nil {
			return areas, ctx.Err()
		}
		at, aerr := table.Index(i)
		if aerr == nil {
			at, aerr = at.Follow()
		}
		var flags uint64
		if aerr == nil {
			flags, aerr = at.Uint("flags")
		}
		if aerr != nil {
			err = errors.Join(err, fmt.Errorf("swap area %d: %w", i, aerr))
		} else if flags&(swapUsed|swapWriteOK) == swapUsed|swapWriteOK {
			areas = append(areas, m.swapArea(at))
		}
	}
	return areas, err
}

// built tells whether the kernel has a function.
func (m *Memory) built(function string) bool {
	_, err := m.k.Symbol(function)
	return !errors.Is(err, symbols.ErrNoSymbol)
}

// swapArea reads a swap area. The highest bits of inuse_pages are no number since 6.13
// (SWAP_USAGE_OFFLIST_BIT, b228386cf2c5).
func (m *Memory) swapArea(o kernel.Object) SwapArea {
	a := SwapArea{Object: o}
	f := o.Fields()
	page := uint64(m.k.PageSize())
	a.Size, a.Priority = f.Uint("pages")*page, int(f.Int("prio"))
	const offList = 3
	used := f.Uint("inuse_pages.counter", "inuse_pages")
	a.Used = used << offList >> offList * page
	a.Err = f.Err()
	file, err := o.Follow("swap_file")
	if err == nil {
		a.Name, err = m.k.PathName(file)
	}
	if err == nil {
		a.Partition, err = isBlockDevice(file)
	}
	a.Err = errors.Join(a.Err, err)
	return a
}

// isBlockDevice tells whether the inode behind a file, as its file system has it, is that of
// a device.
func isBlockDevice(file kernel.Object) (bool, error) {
	inode, err := file.Follow("f_inode")
	if errors.Is(err, symbols.ErrNoMember) { // until 3.8
		if inode, err = file.Follow("f_path.dentry"); err == nil {
			inode, err = inode.Follow("d_inode")
		}
	}
	if err != nil {
		return false, err
	}
	mode, err := inode.Uint("i_mode")
	return mode&0xf000 == 0x6000, err // S_IFBLK
}
