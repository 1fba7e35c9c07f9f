package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable shows text of the kernel's or a file's on a terminal: control characters and
// broken UTF-8 as \xNN, so that no name can move the cursor.
func printable(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case n == 1 && !unicode.IsPrint(r), r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		s = s[n:]
	}
	return b.String()
}

// count is "1 CPU" or "2 CPUs".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// columns is how wide text stands on a terminal, a rune a column.
func columns(s string) int { return utf8.RuneCountInString(s) }

// clip cuts text to width columns, the last of which says so.
func clip(text string, width int) string {
	if columns(text) <= width {
		return text
	}
	r := []rune(text)
	return string(r[:max(0, width-1)]) + "…"
}

// bytesOf prints a size with up to three digits: "21.5 MiB", "4 KiB", "160 B".
func bytesOf(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	v, i := float64(n), 0
	for v >= 1023.5 && i < len(units)-1 {
		v /= 1024
		i++
	}
	s := fmt.Sprintf("%.1f", v)
	if v >= 100 || i == 0 {
		s = fmt.Sprintf("%.0f", v)
	}
	return strings.TrimSuffix(s, ".0") + " " + units[i]
}

// wrap breaks text at blanks into lines of at most width characters where it can.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && columns(line)+1+columns(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
