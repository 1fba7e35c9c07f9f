package symbols

import (
	"fmt"

	"github.com/kautopsy/kautopsy/phys"
)

// minBTF is less than the types of any kernel: the smallest seen has 1.4 MB. Other BTF in
// the image (test data, a module linked in) is smaller.
const minBTF = 64 << 10

// FindBTF looks for the kernel's types where no symbol says where they are: Debian's arm64
// kernels name functions only (CONFIG_KALLSYMS_ALL off). Of all that begins as a btf_header
// does, one lies in the kernel image (5.10 to 7.2). Without any the error wraps ErrNoType,
// and the reason of the first absence in the image if that is damage.
func FindBTF(mem Memory, im Image) (start, end uint64, err error) {
	from := im.Start
	if s := im.Keys.Stext; s > im.Start && s < im.End {
		from = s
	}
	magic := string(btfMark(im.ABI))
	bl := &block{abi: im.ABI, b: make([]byte, scanBlock+len(magic)-1)}
	var lost *gap
	for left := im.End - from; left > 0; left -= min(left, scanBlock) {
		bl.va, bl.b, bl.gaps = im.End-left, bl.b[:min(uint64(cap(bl.b)), left)], bl.gaps[:0]
		bl.read(mem)
		for off := range occurrences(bl.b, magic) {
			if start = bl.va + uint64(off); isBTF(mem, im, start, &end) {
				return start, end, nil
			}
		}
		if lost == nil && len(bl.gaps) > 0 && phys.Damage(bl.gaps[0].err) {
			g := bl.gaps[0]
			lost = &g
		}
	}
	if lost != nil {
		return 0, 0, fmt.Errorf("no BTF in %#x-%#x: %w, but %#x: %w", from, im.End, ErrNoType, lost.from, lost.err)
	}
	return 0, 0, fmt.Errorf("no BTF in %#x-%#x: %w", from, im.End, ErrNoType)
}

// btfMark is how a btf_header begins: the magic number, version 1, no flags.
func btfMark(abi ABI) []byte {
	b := []byte{0, 0, 1, 0}
	abi.order().PutUint16(b, btfMagic)
	return b
}

// isBTF looks at what begins with the magic number. The strings stand behind the types, and
// begin and end with a NUL.
func isBTF(mem Memory, im Image, start uint64, end *uint64) bool {
	h, err := readBTFHeader(mem, im.ABI, start, start+min(im.End-start, maxBTF))
	if err != nil || h.typeOff != 0 || h.strOff != h.typeLen || h.typeLen < minBTF || h.strLen < 2 {
		return false
	}
	names := start + h.hdrLen + h.strOff
	*end = start + h.hdrLen + max(h.strOff+h.strLen, h.layoutOff+h.layoutLen)
	for _, va := range []uint64{names, names + h.strLen - 1} {
		if c, err := readUint(mem, im.ABI, "BTF strings", va, 1); err == nil && c != 0 {
			return false
		}
	}
	return *end <= im.End
}
