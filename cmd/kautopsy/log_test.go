package main

import (
	"testing"
	"time"
)

func TestParseLevel(t *testing.T) {
	for in, want := range map[string]int{
		"": 8, "0": 0, "7": 7, "emerg": 0, "alert": 1, "crit": 2, "critical": 2, "err": 3, "error": 3, "ERR": 3,
		"warn": 4, "warning": 4, "notice": 5, "info": 6, "debug": 7, "emergency": 0, "Warning": 4,
	} {
		if got, err := parseLevel(in); got != want || err != nil {
			t.Errorf("parseLevel(%q) = %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"8", "-1", "loud", "e", "er", "0x1"} {
		if got, err := parseLevel(in); err == nil {
			t.Errorf("parseLevel(%q) = %d, want an error", in, got)
		}
	}
}

func TestParseSince(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"": -1, "17.3": 17300 * time.Millisecond, "0": 0, "5m": 5 * time.Minute, "1h30m": 90 * time.Minute, "100ms": 100 * time.Millisecond,
	} {
		if got, before, err := parseSince(in); got != want || before || err != nil {
			t.Errorf("parseSince(%q) = %v, %v, %v, want %v", in, got, before, err, want)
		}
	}
	for in, want := range map[string]time.Duration{"-30s": 30 * time.Second, "-5": 5 * time.Second, "-0": 0} {
		if got, before, err := parseSince(in); got != want || !before || err != nil {
			t.Errorf("parseSince(%q) = %v, %v, %v, want %v before the end", in, got, before, err, want)
		}
	}
	for _, in := range []string{"x", "NaN", "Inf", "-Inf", "1e300", "--5", "5 minutes", "-"} {
		if got, _, err := parseSince(in); err == nil {
			t.Errorf("parseSince(%q) = %v, want an error", in, got)
		}
	}
}
