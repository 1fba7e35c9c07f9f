// Asm writes the assembly of package codec: the two loops in which a zstd page spends most of
// its time, with BMI2's shifts by any register and bit fields, which Go's compiler does not use.
//
//	go run . -out ../../zstd_amd64.s
//
// Each function does what its twin in Go does. Positions are checked as there, or masked: no
// page makes one read or write beyond the windows and tables that it is given.
package main

import . "github.com/mmcloughlin/avo/build"

func main() {
	ConstraintExpr("amd64,!purego,!noasm")
	literals()
	sequences()
	Generate()
}
