package main

import (
	"fmt"
	"io"
	"strings"
)

// markdown writes the report for a ticket: headline, a table of facts, trace, evidence.
func (s *screen) markdown(w io.Writer) error {
	v := s.rep.Verdict
	fmt.Fprintf(w, "## %s\n\n", cell(v.Headline))
	if v.Detail != "" {
		fmt.Fprintf(w, "%s\n\n", cell(v.Detail))
	}
	fmt.Fprint(w, "| | |\n|---|---|\n")
	for _, row := range s.table() {
		if row[1] != "" {
			fmt.Fprintf(w, "| %s | %s |\n", row[0], cell(row[1]))
		}
	}
	if p := s.rep.Panic; p != nil && len(p.Trace) > 0 {
		fmt.Fprint(w, "\n```\n")
		plain := screen{rep: s.rep, width: wideScreen}
		for _, l := range plain.traceLines(p.Trace) {
			fmt.Fprintln(w, strings.TrimRight(l.text, " "))
		}
		fmt.Fprint(w, "```\n")
	}
	for i, f := range s.rep.Findings {
		if i == 0 {
			fmt.Fprint(w, "\n**Evidence**\n\n")
		}
		if i > 0 {
			fmt.Fprintf(w, "* %s\n", cell(f.Title))
		}
		for _, e := range f.Evidence {
			if i == 0 {
				fmt.Fprintf(w, "* %s\n", cell(evidenceLine(e)))
			}
		}
	}
	for _, m := range s.rep.Missing {
		fmt.Fprintf(w, "* missing: %s: %s\n", cell(m.What), cell(m.Why))
	}
	return nil
}

func (s *screen) table() [][2]string {
	v := s.rep.Verdict
	rows := [][2]string{{"kind", string(v.Kind)}, {"confidence", string(v.Confidence)}, {"title", v.Title}}
	if s.rep.System != nil {
		rows = append(rows, [2]string{"kernel", kernelLine(s.rep.System)}, [2]string{"hardware", s.rep.System.Hardware},
			[2]string{"when", s.rep.System.Date})
	}
	return append(rows, [2]string{"task", taskLine(s.rep)}, [2]string{"signature", s.rep.Signature}, [2]string{"dump", s.dumpLine})
}

// cell keeps text inside a table's cell and from being markup.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`, "`", "'", "[", `\[`).Replace(printable(s))
}
