package crashshell

import (
	"regexp"
	"strconv"
	"strings"
)

// Modules are the modules of an answer to mod.
type Modules struct {
	List []Module `json:"list"`
	Rest []string `json:"rest,omitempty"` // lines not understood
}

// Module is a row of mod. Of mod -t it has a name and taints alone.
type Module struct {
	Address Address `json:"address,omitempty"` // of the struct module
	Name    string  `json:"name"`
	Base    Address `json:"base,omitempty"` // of its text from kernel 6.4 on; crash before 8.0 does not say
	Size    uint64  `json:"size_bytes,omitempty"`
	Object  string  `json:"object,omitempty"` // the file with its symbols; "" if crash has none
	Symbols string  `json:"symbols,omitempty"`
	Taints  string  `json:"taints,omitempty"`
}

var (
	modHeading = regexp.MustCompile(`^\s*(?:MODULE\s+)?NAME\s+(?:(?:(?:TEXT_)?BASE\s+)?SIZE\s+OBJECT FILE|TAINTS?(?:_MASK)?)\s*$`)
	modRow     = regexp.MustCompile(`^\s*([0-9a-f]{5,16})\s+(\S+)\s+(?:([0-9a-f]{5,16})\s+)?(\d+)\s+(.*?)(?:\s*\[([A-Z_]+)\])?$`)
	modTaint   = regexp.MustCompile(`^(\S+)\s+(\S+)$`)
)

// ParseModules reads the answer to mod or mod -t. The error is ErrForm.
func ParseModules(out []byte) (Modules, error) {
	all, taints, known := Modules{List: []Module{}}, false, false
	for line := range answerLines(out) {
		line = strings.TrimRight(line, " ")
		m, t := modRow.FindStringSubmatch(line), modTaint.FindStringSubmatch(line)
		switch {
		case line == "":
		case strings.TrimSpace(line) == "no tainted modules", strings.TrimSpace(line) == "mod: no modules installed", modHeading.MatchString(line):
			taints, known = strings.Contains(line, "TAINT"), true
		case m != nil:
			all.List, known = append(all.List, moduleRow(m)), true
		case taints && t != nil:
			all.List = append(all.List, Module{Name: t[1], Taints: t[2]})
		default:
			all.Rest = append(all.Rest, line)
		}
	}
	return all, formError(known, all.Rest)
}

func moduleRow(m []string) Module {
	t := Module{Address: parseAddress(m[1]), Name: m[2], Base: parseAddress(m[3]), Object: m[5], Symbols: m[6]}
	t.Size, _ = strconv.ParseUint(m[4], 10, 64)
	if t.Object == "(not loaded)" {
		t.Object = ""
	}
	return t
}
