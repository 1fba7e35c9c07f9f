package oops

import (
	"strconv"
	"strings"
)

// text is a line of the log, as bytes while it is searched and as a string once it is worth keeping.
type text interface{ ~string | ~[]byte }

func isDigit(c byte) bool { return c-'0' < 10 }

func isHex(c byte) bool { return isDigit(c) || (c|0x20)-'a' < 6 }

func isLetter(c byte) bool { return (c|0x20)-'a' < 26 }

// run is the length of the longest prefix of s whose bytes all satisfy is.
func run[T text](s T, is func(byte) bool) int {
	n := 0
	for n < len(s) && is(s[n]) {
		n++
	}
	return n
}

// blanks is the number of blanks that s begins with.
func blanks[T text](s T) int { return run(s, func(c byte) bool { return c == ' ' || c == '\t' }) }

// cutHex reads the hexadecimal number, with or without 0x, that s begins with.
func cutHex(s string) (v uint64, rest string, ok bool) {
	s = strings.TrimPrefix(s, "0x")
	n := run(s, isHex)
	if n == 0 || n > 16 {
		return 0, s, false
	}
	v, err := strconv.ParseUint(s[:n], 16, 64)
	return v, s[n:], err == nil
}

// cutInt reads the decimal number that s begins with.
func cutInt(s string) (v int, rest string, ok bool) {
	n := run(s, isDigit)
	v, err := strconv.Atoi(s[:n])
	return v, s[n:], err == nil
}

// intAfter finds the number that follows mark.
func intAfter(s, mark string) *int {
	_, after, found := strings.Cut(s, mark)
	if !found {
		return nil
	}
	if v, _, ok := cutInt(strings.TrimLeft(after, " ")); ok {
		return &v
	}
	return nil
}

// hexAfter finds the hexadecimal number that follows mark.
func hexAfter(s, mark string) *Address {
	_, after, found := strings.Cut(s, mark)
	if !found {
		return nil
	}
	if v, _, ok := cutHex(strings.TrimLeft(after, " ")); ok {
		a := Address(v)
		return &a
	}
	return nil
}

// word is the first blank-separated word of s, and what follows it.
func word(s string) (first, rest string) {
	s = strings.TrimLeft(s, " \t")
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}
