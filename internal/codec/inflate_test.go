package codec_test

import (
	"bytes"
	"encoding/binary"
	"hash/adler32"
	"strings"
	"testing"

	"github.com/kautopsy/kautopsy/internal/codec"
)

// deflate packs bits, written in the order in which a stream has them.
func deflate(text string) []byte {
	text = strings.ReplaceAll(text, " ", "")
	out := make([]byte, (len(text)+7)/8)
	for i, c := range text {
		out[i/8] |= byte(c-'0') << (i % 8)
	}
	return out
}

// A dynamic block's begin: the final one, with 257 literals and lengths, one distance, and
// a code of code lengths in which 18 is 0, 0 is 10 and 1 is 11.
const (
	dynamic = "1 01 00000 00000 0111 "
	order   = "000 000 100 010" + " 000 000 000 000 000 000 000 000 000 000 000 000 000" + " 010 "
	zeroes  = "0 1111111 0 1101011 " // 138 and 118 of them
)

// TestBlocks has the edges of RFC 1951, as compress/zlib takes them.
func TestBlocks(t *testing.T) {
	var d codec.Decoder
	for name, test := range map[string]struct {
		bits string
		page string // of a stream that is one
		bad  bool
	}{
		"stored, empty":            {bits: "1 00 00000" + strings.Repeat("0", 16) + strings.Repeat("1", 16)},
		"stored, wrong":            {bits: "1 00 00000" + strings.Repeat("0", 32), bad: true},
		"fixed, empty":             {bits: "1 10 0000000"},
		"fixed, a run":             {bits: "1 10 00110000 0000001 00000 0000000", page: "\x00\x00\x00\x00"},
		"two blocks":               {bits: "0 10 00110000 0000000 1 10 0000001 00000 0000000", page: "\x00\x00\x00\x00"},
		"type 3":                   {bits: "1 11", bad: true},
		"length 286":               {bits: "1 10 00110000 11000110 00000 0000000", bad: true},
		"distance 30":              {bits: "1 10 00110000 0000001 11110 0000000", bad: true},
		"distance before the page": {bits: "1 10 0000001 00000 0000000", bad: true},
		"lone end mark":            {bits: dynamic + order + zeroes + "11 10 0"},
		"no such code":             {bits: dynamic + order + zeroes + "11 10 1", bad: true},
		"no end mark":              {bits: dynamic + order + zeroes + "10 11 0", bad: true},
		"lengths run over":         {bits: dynamic + order + zeroes + "11 0 0000000 0", bad: true},
		"287 literals":             {bits: "1 01 01111 00000 0111" + order, bad: true},
		"31 distances":             {bits: "1 01 00000 01111 0111" + order, bad: true},
		"too many codes":           {bits: dynamic + "100 100 100 000" + strings.Repeat("000", 14), bad: true},
		"too few codes":            {bits: dynamic + "010 010 000 000" + strings.Repeat("000", 14), bad: true},
		"nothing to repeat":        {bits: dynamic + "100 000 100 000" + strings.Repeat("000", 14) + "0 00", bad: true},
		"no codes":                 {bits: dynamic + strings.Repeat("000", 18), bad: true},
	} {
		src := append([]byte{0x78, 1}, deflate(test.bits)...)
		src = binary.BigEndian.AppendUint32(src, adler32.Checksum([]byte(test.page)))
		page := bytes.Repeat([]byte{0xa5}, len(test.page))
		if err := d.Decode(codec.Zlib, page, src); (err != nil) != test.bad || err == nil && string(page) != test.page {
			t.Errorf("%s: %q, %v", name, page, err)
		}
		agree(t, &d, codec.Zlib, src, len(test.page), standardZlib)
	}
}

// TestPresetDictionary: compress/zlib would take the empty one.
func TestPresetDictionary(t *testing.T) {
	var d codec.Decoder
	src := append([]byte{0x78, 0x20, 0, 0, 0, 1}, deflate("1 10 0000000")...)
	src = append(src, 0, 0, 0, 1)
	if err := d.Decode(codec.Zlib, nil, src); err == nil {
		t.Error("taken")
	}
}

// TestWindowSize: CINFO above 7 is no window of RFC 1950.
func TestWindowSize(t *testing.T) {
	var d codec.Decoder
	for cinfo := range 16 {
		cmf := byte(cinfo<<4 | 8)
		src := []byte{cmf, byte(31 - int(cmf)<<8%31), 3, 0, 0, 0, 0, 1}
		if err := d.Decode(codec.Zlib, nil, src); (err != nil) != (cinfo > 7) {
			t.Errorf("CINFO %d: %v", cinfo, err)
		}
	}
}
