package main

import (
	"fmt"
	"strings"
)

// print writes the overview, then the differences by whose fault they are.
func (c *comparison) print(dump string) {
	w := c.env.out
	p := c.session.Program
	fmt.Fprintf(w, "crash %s (%s) and kautopsy on %s\n\n", p.Version, c.session.Mode, printable(dump))
	fmt.Fprintf(w, "  %-12s %9s %9s %9s\n", "", "kautopsy", "crash", "equal")
	for _, r := range c.rows {
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("  %-12s %9d %9d %9d %s", r.Subject, r.Kautopsy, r.Crash, r.Equal, r.Unit), " "))
	}
	for _, v := range []struct {
		fault   verdict
		heading string
	}{
		{crashWrong, "crash is wrong"},
		{kautopsyWrong, "kautopsy is wrong"},
		{neither, "they count differently"},
		{bothPartial, "both are partial"},
		{undecided, "open: who is wrong is not known"},
	} {
		heading := "\n" + v.heading + "\n"
		for _, d := range c.all {
			if d.Fault == v.fault {
				fmt.Fprint(w, heading)
				c.printDifference(d)
				heading = ""
			}
		}
	}
	if len(c.all) == 0 {
		fmt.Fprintln(w, "\nno difference")
	}
	c.lack.tell()
}

func (c *comparison) printDifference(d *difference) {
	c.paragraph(d.Subject, count(d.Count, d.object)+" "+d.What)
	if d.Because != "" {
		c.paragraph("", "known: "+d.Because)
	}
	for _, s := range d.Checked {
		c.paragraph("", "in the dump: "+s)
	}
	for i, e := range d.Examples {
		if i == len(d.Examples)-1 && d.Count > len(d.Examples) {
			e += ", …"
		}
		c.paragraph("", "- "+e)
	}
}

// compareWidth is how wide the text is where no terminal says.
const compareWidth = 100

// paragraph prints text behind a label, wrapped.
func (c *comparison) paragraph(label, text string) {
	width := c.env.outTerm.width
	if width == 0 {
		width = compareWidth
	}
	for i, line := range wrap(printable(text), max(30, width-15)) {
		if i > 0 {
			label = ""
			line = "  " + line
		}
		fmt.Fprintf(c.env.out, "  %-12s %s\n", label, line)
	}
}
