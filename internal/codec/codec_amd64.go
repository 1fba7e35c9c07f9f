//go:build !purego && !noasm

package codec

import "golang.org/x/sys/cpu"

//go:generate go -C testdata/asm run . -out ../../codec_amd64.s

// hasAssembly tells whether the processor has what the assembly takes; all since 2013 have.
var hasAssembly = cpu.X86.HasBMI2 && cpu.X86.HasSSSE3
