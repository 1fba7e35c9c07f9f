package vmcore

import "github.com/kautopsy/kautopsy/phys"

// Options of Open and New; the zero value (or nil) is what a user wants.
type Options struct {
	// CacheBytes bounds the decoded pages that are kept; 0 means 32 MiB.
	CacheBytes int64
	// Map reads files through mappings: reads in any order of pages that are stored as they are
	// take half the time, and a scan of them a third, since pages are not copied (see Scan
	// for what that asks of its functions). The file's pages that reads in any order touched
	// count as memory of the process until the kernel wants them back.
	Map bool
	// Parts names the other files of a split set when their place cannot be guessed
	// from the first one's.
	Parts []string
	// Regions is the machine's map of RAM for a raw image without a header
	// (ParseIomem makes it from /proc/iomem).
	Regions []phys.Span
	// VMCoreInfo replaces what the dump says of itself: the text of a VMCOREINFO note,
	// KEY=VALUE a line.
	VMCoreInfo []byte
}
