package codec_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/kautopsy/kautopsy/internal/codec"
	"github.com/kautopsy/kautopsy/internal/dumptest"
)

// agreeInPlace decodes a stream with other bytes behind it and behind the page: the outcome is
// that of Decode.
func agreeInPlace(tb testing.TB, d *codec.Decoder, m codec.Method, src, want []byte, wantErr error) {
	tb.Helper()
	in := append(bytes.Clone(src), bytes.Repeat([]byte{0xff}, codec.Spare)...)
	out := bytes.Repeat([]byte{0x11}, len(want)+codec.Spare)
	err := d.DecodeInPlace(m, out[:len(want)], in[:len(src)])
	if fmt.Sprint(err) != fmt.Sprint(wantErr) || err == nil && !bytes.Equal(out[:len(want)], want) {
		tb.Fatalf("%v: in place %v, elsewhere %v; of %x", m, err, wantErr, src)
	}
}

// TestInPlace: whole and cut streams give the same in place, and leave what stands before
// the page alone.
func TestInPlace(t *testing.T) {
	var d codec.Decoder
	for m := range methods() {
		for _, page := range shapes() {
			src := encode(t, m, page)
			agreeInPlace(t, &d, m, src, page, nil)
			for _, n := range []int{0, 1, len(src) / 2, len(src) - 1} {
				got := make([]byte, len(page))
				err := d.Decode(m, got, src[:n])
				agreeInPlace(t, &d, m, src[:n], got, err)
			}
		}
	}
}

// TestInPlaceOrder: pages that are decoded one behind the other into one piece of memory are
// all right in the end, though each spoils what is behind it.
func TestInPlaceOrder(t *testing.T) {
	const size, pages = 4096, 8
	for m := range methods() {
		var d codec.Decoder
		var streams []byte
		var ends []int
		for i := range pages {
			streams = append(streams, encode(t, m, dumptest.Fill(size, fmt.Sprint("page ", i)))...)
			ends = append(ends, len(streams))
		}
		streams = append(streams, make([]byte, codec.Spare)...)
		memory := make([]byte, pages*size+codec.Spare)
		at := 0
		for i, end := range ends {
			if err := d.DecodeInPlace(m, memory[i*size:][:size], streams[at:end]); err != nil {
				t.Errorf("%v, page %d: %v", m, i, err)
			}
			at = end
		}
		for i := range pages {
			if !bytes.Equal(memory[i*size:][:size], dumptest.Fill(size, fmt.Sprint("page ", i))) {
				t.Errorf("%v: page %d was spoilt", m, i)
			}
		}
	}
}
