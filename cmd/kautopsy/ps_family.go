package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kautopsy/kautopsy/kernel"
)

// kinship knows the relatives of tasks.
type kinship struct {
	byAddr   map[uint64]kernel.Task
	children map[uint64][]kernel.Task // by the parent's address
	threads  map[int][]kernel.Task    // by TGID
}

// kinship looks at all tasks, whichever were asked for.
func (p *psPrinter) kinship() *kinship {
	all := p.tasks
	if tasks, missing, err := allTasks(p.env, p.k); err == nil {
		all, p.missing = tasks, missing
	}
	r := &kinship{map[uint64]kernel.Task{}, map[uint64][]kernel.Task{}, map[int][]kernel.Task{}}
	for _, t := range all {
		r.byAddr[t.Addr] = t
		r.children[t.Parent] = append(r.children[t.Parent], t)
		r.threads[t.TGID] = append(r.threads[t.TGID], t)
	}
	return r
}

// parents are a task's parent, its parent's parent and so on. The first idle task is its
// own.
func (r *kinship) parents(t kernel.Task) (line []kernel.Task) {
	seen := map[uint64]bool{t.Addr: true}
	for {
		up, ok := r.byAddr[t.Parent]
		if !ok || seen[up.Addr] {
			return line
		}
		seen[up.Addr] = true
		line = append(line, up)
		t = up
	}
}

// kids are a task's children but itself.
func (r *kinship) kids(t kernel.Task) []kernel.Task {
	return slices.DeleteFunc(slices.Clone(r.children[t.Addr]), func(c kernel.Task) bool { return c.Addr == t.Addr || c.PID != c.TGID && c.PID != 0 })
}

// others are the threads of a task's process but itself.
func (r *kinship) others(t kernel.Task) []kernel.Task {
	return slices.DeleteFunc(slices.Clone(r.threads[t.TGID]), func(c kernel.Task) bool { return c.Addr == t.Addr })
}

// leads tells whether a task is the first of its process, or what is left of it.
func (r *kinship) leads(t kernel.Task) bool {
	all := r.threads[t.TGID]
	i := max(0, slices.IndexFunc(all, func(l kernel.Task) bool { return l.PID == l.TGID }))
	return all[i].Addr == t.Addr
}

// pids are the relatives that flags ask for.
func (r *kinship) pids(t kernel.Task, which [3]bool) (parents, children, threads []int) {
	list := func(tasks []kernel.Task) (out []int) {
		for _, t := range tasks {
			out = append(out, t.PID)
		}
		return out
	}
	if which[0] {
		parents = list(r.parents(t))
	}
	if which[1] {
		children = list(r.kids(t))
	}
	if which[2] && r.leads(t) {
		threads = list(r.others(t))
	}
	return parents, children, threads
}

// relatives prints tasks with their relatives, indented as crash has them.
func (p *psPrinter) relatives() {
	r := p.kinship()
	tasks := p.tasks
	if p.f.family[2] {
		tasks = slices.DeleteFunc(slices.Clone(tasks), func(t kernel.Task) bool {
			return !r.leads(t)
		})
		slices.SortStableFunc(tasks, func(a, b kernel.Task) int { return cmp.Compare(a.TGID, b.TGID) })
	}
	for i, t := range tasks {
		if i > 0 {
			fmt.Fprintln(p.env.out)
		}
		if p.f.family[0] {
			depth := 0
			for _, up := range slices.Backward(r.parents(t)) {
				fmt.Fprintln(p.env.out, strings.Repeat(" ", depth)+taskHead(up))
				depth++
			}
			fmt.Fprintln(p.env.out, strings.Repeat(" ", depth)+taskHead(t))
			continue
		}
		fmt.Fprintln(p.env.out, taskHead(t))
		below, none := r.kids(t), "children"
		if p.f.family[2] {
			below, none = r.others(t), "threads"
		}
		for _, c := range below {
			fmt.Fprintln(p.env.out, "  "+taskHead(c))
		}
		if len(below) == 0 {
			fmt.Fprintf(p.env.out, "  (no %s)\n", none)
		}
	}
}
