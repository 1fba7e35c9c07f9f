package dwarf

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kautopsy/kautopsy/internal/bin"
	"github.com/kautopsy/kautopsy/phys"
)

// A file of the cache is an index of names. All numbers are little-endian.
//
//	0          8         12        16         48          56      60
//	| kautopsy | version | id size | build id | info size | count | CRC-32C |
//	64
//	| records of each kind, u32 × nameKinds | records, u64 × count |
//
// info size is that of .debug_info, count the number of all records, and the CRC is of what
// comes behind it.
const (
	cacheMagic   = "kautopsy"
	cacheVersion = 1
	cacheHead    = 64
	maxBuildID   = 32
	cacheSuffix  = ".names"
	cacheTemp    = ".new-*"

	// maxCache bounds the files of the folder together: a kernel's has 1 MB, a module's some
	// thousand bytes.
	maxCache = 64 << 20
	// staleTemp is the age at which a file that nobody finished is removed.
	staleTemp = time.Hour
)

// names gives the index of names: from the cache, or from the units. What is wrong with the
// cache is no error; it is then written anew.
func (f *File) names(dir string) (*nameIndex, error) {
	path := f.cachePath(dir)
	if path == "" {
		return f.scanNames()
	}
	if x, err := f.readNames(path); err == nil {
		now := time.Now()
		_ = os.Chtimes(path, now, now) // the oldest is removed first
		return x, nil
	}
	x, err := f.scanNames()
	if err == nil {
		if f.writeNames(path, x) == nil {
			trimCache(dir, time.Now())
		}
	}
	return x, err
}

// cachePath is the file of the index, "" where there can be none.
func (f *File) cachePath(dir string) string {
	id, err := f.BuildID()
	if dir == "" || err != nil || len(id) < 8 || len(id) > maxBuildID {
		return ""
	}
	return filepath.Join(dir, hex.EncodeToString(id)+cacheSuffix)
}

// cacheHeader is how the file of this index begins, without the CRC.
func (f *File) cacheHeader(records int) []byte {
	id, _ := f.BuildID()
	h := append([]byte(cacheMagic), make([]byte, cacheHead-len(cacheMagic))...)
	le := binary.LittleEndian
	le.PutUint32(h[8:], cacheVersion)
	le.PutUint32(h[12:], uint32(len(id)))
	copy(h[16:48], id)
	le.PutUint64(h[48:], uint64(f.section(".debug_info").len()))
	le.PutUint32(h[56:], uint32(records))
	return h
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// readNames reads an index and believes nothing of it.
func (f *File) readNames(path string) (*nameIndex, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return nil, err
	}
	b, err := bin.ReadN(in, st.Size(), 0, uint64(st.Size()), maxCache)
	if err != nil {
		return nil, err
	}
	bad := fmt.Errorf("%s: no index of names: %w", path, phys.ErrCorrupt)
	const at = cacheHead + 4*nameKinds
	if len(b) < at || (len(b)-at)%8 != 0 {
		return nil, bad
	}
	le := binary.LittleEndian
	head := f.cacheHeader((len(b) - at) / 8)
	if !bytes.Equal(b[:60], head[:60]) || le.Uint32(b[60:]) != crc32.Checksum(b[cacheHead:], castagnoli) {
		return nil, bad
	}
	return decodeNames(b[cacheHead:at], b[at:], bad)
}

// decodeNames takes the records apart by their kinds.
func decodeNames(counts, records []byte, bad error) (*nameIndex, error) {
	x, le := &nameIndex{}, binary.LittleEndian
	for i := range x.kinds {
		n := le.Uint32(counts[4*i:])
		if uint64(n) > uint64(len(records)/8) {
			return nil, bad
		}
		var list []uint64
		for j := range n {
			list = append(list, le.Uint64(records[8*j:]))
		}
		if records = records[8*n:]; !slices.IsSorted(list) {
			return nil, bad
		}
		x.kinds[i] = list
	}
	if len(records) > 0 {
		return nil, bad
	}
	return x, nil
}

// writeNames writes an index beside its place and moves it there: who reads at the same time
// sees the old one, the new one or none.
func (f *File) writeNames(path string, x *nameIndex) (err error) {
	var body []byte
	n := 0
	for _, list := range x.kinds {
		body = binary.LittleEndian.AppendUint32(body, uint32(len(list)))
		n += len(list)
	}
	for _, list := range x.kinds {
		for _, record := range list {
			body = binary.LittleEndian.AppendUint64(body, record)
		}
	}
	head := f.cacheHeader(n)
	binary.LittleEndian.PutUint32(head[60:], crc32.Checksum(body, castagnoli))
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	out, err := os.CreateTemp(dir, cacheTemp)
	if err != nil {
		return err
	}
	_, err = out.Write(append(head, body...))
	if err = cmp.Or(err, out.Close()); err == nil {
		err = os.Rename(out.Name(), path)
	}
	if err != nil {
		os.Remove(out.Name())
	}
	return err
}

// trimCache removes the files that were not used for longest until the rest is within
// maxCache, and those that somebody began and never finished.
func trimCache(dir string, now time.Time) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	var files []fs.FileInfo
	total := int64(0)
	for _, e := range entries {
		info, err := e.Info()
		switch begun, _ := filepath.Match(cacheTemp, e.Name()); {
		case err != nil || !info.Mode().IsRegular():
		case begun && now.Sub(info.ModTime()) > staleTemp:
			os.Remove(filepath.Join(dir, e.Name()))
		case strings.HasSuffix(e.Name(), cacheSuffix):
			files = append(files, info)
			total += info.Size()
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range files {
		if total <= maxCache {
			return
		}
		if os.Remove(filepath.Join(dir, info.Name())) == nil {
			total -= info.Size()
		}
	}
}
