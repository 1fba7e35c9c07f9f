// Asm writes the assembly of package codec: the loops in which zstd and snappy pages spend most of
// their time, with BMI2's shifts by any register and bit fields, and choices without branches,
// which Go's compiler does not use.
//
//	go run . -out ../../codec_amd64.s
//
// Each function does what its twin in Go does. Positions are checked as there, or masked: no
// page makes one read or write beyond the windows and tables that it is given.
package main

import . "github.com/mmcloughlin/avo/build"

func main() {
	ConstraintExpr("amd64,!purego,!noasm")
	literals()
	stateCounts()
	weights()
	counts()
	sequences()
	snappy()
	Generate()
}
