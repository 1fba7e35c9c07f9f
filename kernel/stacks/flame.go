package stacks

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
)

//go:embed flame.html
var flamePage string

var flameTemplate = template.Must(template.New("flame").Parse(flamePage))

// node is a function with all that it called, in the page's own words.
type node struct {
	Name  string   `json:"n"`
	Count int      `json:"c"`
	Tasks []string `json:"t,omitempty"` // "PID comm STATE" of those whose innermost frame this is
	Kids  []*node  `json:"k,omitempty"`
}

// WriteHTML writes a flame graph as one page that needs nothing else: no network, no other
// file. Outermost functions are at the top, the width is the number of tasks.
func WriteHTML(w io.Writer, groups []kernel.StackGroup, about kernel.System) error {
	root := tree(groups)
	return flameTemplate.Execute(w, struct {
		Host, Release, Date string
		Tasks, Groups       int
		Root                *node
	}{about.Nodename, about.Release, date(about), root.Count, len(groups), root})
}

func date(about kernel.System) string {
	if about.Date.IsZero() {
		return ""
	}
	return about.Date.UTC().Format("2006-01-02 15:04:05 UTC")
}

// tree folds the groups from their outermost functions on; siblings stand by size.
func tree(groups []kernel.StackGroup) *node {
	root := &node{Name: "all tasks"}
	for _, g := range groups {
		at := root
		root.Count += len(g.Tasks)
		for _, name := range outermostFirst(g) {
			at = at.kid(name)
			at.Count += len(g.Tasks)
		}
		for _, t := range g.Tasks {
			at.Tasks = append(at.Tasks, taskLine(t))
		}
	}
	root.sort()
	return root
}

func (n *node) kid(name string) *node {
	for _, k := range n.Kids {
		if k.Name == name {
			return k
		}
	}
	k := &node{Name: name}
	n.Kids = append(n.Kids, k)
	return k
}

func (n *node) sort() {
	slices.SortFunc(n.Kids, func(a, b *node) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return strings.Compare(a.Name, b.Name)
	})
	for _, k := range n.Kids {
		k.sort()
	}
}

func taskLine(t kernel.Task) string {
	return fmt.Sprintf("%d %s %s", t.PID, t.State, t.Comm)
}
