package codec_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/kautopsy/kautopsy/internal/codec"
)

// guarded is memory with pages before and behind it that nobody may touch: it begins behind the
// one, or ends at the other.
func guarded(t *testing.T, n int, atEnd bool) []byte {
	t.Helper()
	page := os.Getpagesize()
	room := (n + page - 1) / page * page
	mem, err := syscall.Mmap(-1, 0, room+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(mem) })
	for _, guard := range [][]byte{mem[:page], mem[page+room:]} {
		if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	if atEnd {
		return mem[page+room-n : page+room]
	}
	return mem[page:][:n]
}

// overlong are snappy streams of pages of 64 KiB that would go far beyond an end: the page's, by
// matches and by a literal, and their own.
func overlong() [][]byte {
	size := []byte{0x80, 0x80, 0x04}
	matches := append(bytes.Clone(size), 0, 'a')
	for range 1100 {
		matches = append(matches, 63<<2|2, 1, 0)
	}
	singles := append(bytes.Clone(size), bytes.Repeat([]byte{0, 'a'}, 30000)...)
	return [][]byte{
		matches,
		append(bytes.Clone(singles), 61<<2, 0xff, 0x80),             // 33024 literals
		append(bytes.Clone(singles), 63<<2, 0xff, 0xff, 0xff, 0xff), // 4 GiB of them
		append(append(bytes.Clone(matches[:3005]), 61<<2, 0x5f, 0xea), make([]byte, 60000)...),
	}
}

// frameOf is a zstd frame of a page of 64 KiB with one compressed block, and before it empty ones.
func frameOf(empty int, block []byte) []byte {
	frame := slices.Concat(frameMagic, []byte{0x60, 0x00, 0xff}, make([]byte, 3*empty))
	size := len(block)<<3 | 2<<1 | 1
	return append(append(frame, byte(size), byte(size>>8), byte(size>>16)), block...)
}

// starving are zstd frames of pages of 64 KiB with many more sequences than their few bits are: 20,000,
// of matches of three bytes at distances used before, and of literals by the usual table. Who goes on
// all the same comes to what is before the frame.
func starving(r *rand.Rand) (all [][]byte) {
	for range 200 {
		all = append(all, frameOf(0, []byte{
			1 | 3<<2 | 30000&15<<4, 30000 >> 4 & 0xff, 30000 >> 12, 'a', // literals
			128 + 20000>>8, 20000 & 0xff, 0x14, 0, 0,
			byte(r.Uint32()), byte(r.Uint32()), byte(1 + r.Uint32N(255)),
		}))
	}
	return all
}

// insatiable is a frame whose one sequence takes 60,000 literals, where there are five, at the end of
// 36,000 bytes of empty blocks.
func insatiable() []byte {
	block := []byte{
		5 << 3, 'a', 'b', 'c', 'd', 'e',
		1, 0x54, 34, 0, 0, // by tables of one symbol: 32,768 literals and as many as 15 bits say
	}
	block = binary.LittleEndian.AppendUint16(block, 1<<15|(60000-32768))
	return frameOf(12000, block)
}

// countless are blocks whose first table has counts of zero until the block ends: with two more, and
// with three more and again three.
func countless() (all [][]byte) {
	for _, counts := range [][]byte{
		append([]byte{0x11}, bytes.Repeat([]byte{0x18}, 60000)...),
		append([]byte{0x11, 0xfc}, bytes.Repeat([]byte{0xff}, 60000)...),
	} {
		all = append(all, frameOf(0, append([]byte{0, 1, 0x80}, counts...))) // no literals, one sequence
	}
	return all
}

// weightless is a frame whose literals' tree has weights of no bits at all, so that they do not end.
func weightless() []byte {
	tree := append([]byte{14, 0xf0, 0x03}, bytes.Repeat([]byte{0xff}, 12)...) // all 32 states are symbol 0's
	literals := binary.LittleEndian.AppendUint32(nil, uint32(2|100<<4|(len(tree)+20)<<14))
	return frameOf(0, slices.Concat(literals[:3], tree, make([]byte, 20), []byte{0}))
}

// pointless is a frame whose one sequence, without literals, has one less than the distance used last: 0.
func pointless() []byte {
	const literals = 1<<16 - 3
	return frameOf(0, []byte{
		1 | 3<<2 | literals&15<<4, literals >> 4 & 0xff, literals >> 12, 'a',
		1, 0x54, 0, 1, 0, 3,
	})
}

// TestGuarded: whatever a stream holds, decoding in place, in assembly where there is some, does
// not leave the memory that it was given. Where it does, the test dies.
func TestGuarded(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	r := rand.New(rand.NewPCG(3, 4))
	pages := append(realPages(t, 4096, 64), realPages(t, 65536, 8)...)
	for _, atEnd := range []bool{false, true} {
		out, in := guarded(t, codec.Spare, atEnd), guarded(t, codec.Spare, atEnd)
		var d codec.Decoder
		d.KeepFrameIn(guarded(t, codec.FrameSize, atEnd))
		good := 0
		for _, m := range []codec.Method{codec.LZO, codec.Snappy, codec.Zstd} {
			for _, page := range pages {
				whole := encode(t, m, page)
				for range rounds {
					n := copy(in, damage(r, bytes.Clone(whole)))
					if d.DecodeInPlace(m, out[:len(page)], in[:n]) == nil {
						good++
					}
				}
			}
		}
		for i, src := range overlong() {
			n := copy(in, src)
			if d.DecodeInPlace(codec.Snappy, out[:1<<16], in[:n]) == nil {
				t.Errorf("overlong stream %d is a page", i)
			}
		}
		for i, src := range slices.Concat(starving(r), countless(), [][]byte{insatiable(), weightless(), pointless()}) {
			n := copy(in, src)
			if d.DecodeInPlace(codec.Zstd, out[:1<<16], in[:n]) == nil {
				t.Errorf("frame %d of too little, or too much, is a page", i)
			}
		}
		if good == 0 {
			t.Error("no stream was left whole enough to be decoded")
		}
	}
}
