package crashshell

import (
	"context"
	"regexp"
)

// Mounts is the answer to mount.
type Mounts struct {
	List []Mount  `json:"list"`
	Rest []string `json:"rest,omitempty"` // lines not understood
}

// Mount is a mounted file system.
type Mount struct {
	Mount      Address `json:"mount"`
	Superblock Address `json:"super_block"`
	Type       string  `json:"type"`
	Device     string  `json:"device"`
	Dir        string  `json:"dir"`
}

var (
	mountHeading = regexp.MustCompile(`^\s*(?:VFS)?MOUNT\s+SUPERBLK\s+TYPE\s+DEVNAME\s+DIRNAME\s*$`)
	mountRow     = regexp.MustCompile(`^\s*([0-9a-f]{5,16})\s+([0-9a-f]{5,16})\s+(\S+)\s+(\S+)\s+(\S.*?)\s*$`)
)

// ParseMounts reads the answer to mount. The error is ErrForm.
func ParseMounts(out []byte) (v Mounts, err error) {
	v.Rest, err = rows(out, mountHeading, func(line string) bool {
		m := mountRow.FindStringSubmatch(line)
		if m != nil {
			v.List = append(v.List, Mount{parseAddress(m[1]), parseAddress(m[2]), m[3], m[4], m[5]})
		}
		return m != nil
	})
	return v, err
}

// Mounts asks for what is mounted: mount.
func (s *Session) Mounts(ctx context.Context) (Mounts, error) {
	return ask(ctx, s, ParseMounts, "mount", nil)
}
