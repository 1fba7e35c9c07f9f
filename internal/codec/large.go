package codec

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
)

// fits tells whether a page and its coded form have room in the windows. What has not is
// decoded here, slowly: no kernel has such pages, but a header may name their size.
func fits(dst, src []byte) bool { return len(dst) <= maxPage && len(src) <= maxCoded }

// largeZlib takes memory for each page.
func largeZlib(dst, src []byte) error {
	in := bytes.NewReader(src)
	r, err := zlib.NewReader(in)
	if err != nil {
		return damaged("zlib", err)
	}
	n, err := io.ReadFull(r, dst)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return wrongSize("zlib", n, len(dst))
	} else if err != nil {
		return damaged("zlib", err)
	}
	var more [1]byte
	if n, err := io.ReadFull(r, more[:]); n != 0 {
		return wrongSize("zlib", len(dst)+n, len(dst))
	} else if !errors.Is(err, io.EOF) {
		return damaged("zlib", err)
	}
	if in.Len() != 0 {
		return damaged("zlib", errTrailing)
	}
	return nil
}
