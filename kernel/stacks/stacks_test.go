package stacks_test

import (
	"bytes"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/kautopsy/kautopsy/internal/dumptest"
	"github.com/kautopsy/kautopsy/internal/guesttest"
	"github.com/kautopsy/kautopsy/kernel"
	"github.com/kautopsy/kautopsy/kernel/stacks"
)

func TestMain(m *testing.M) { dumptest.RunTests(m) }

func read(t testing.TB, k *kernel.Kernel) (list []kernel.TaskStack) {
	t.Helper()
	u, err := k.Unwinder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for task, err := range k.Tasks(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		s, err := u.Stack(t.Context(), task)
		if err != nil {
			t.Logf("stack of task %d: %v", task.PID, err)
		}
		list = append(list, kernel.TaskStack{Task: task, Stack: s})
	}
	return list
}

// TestGroups: every task is in one group, and the groups are those that the stacks printed
// by the guest itself form.
func TestGroups(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		list := read(t, g.Kernel)
		seen := map[uint64]bool{}
		last := len(list)
		for _, group := range kernel.GroupStacks(list) {
			if len(group.Tasks) > last {
				t.Errorf("a group of %d behind one of %d", len(group.Tasks), last)
			}
			last = len(group.Tasks)
			for _, task := range group.Tasks {
				if seen[task.Addr] || task.State != group.State {
					t.Errorf("task %d, state %s, in a group of %s", task.PID, task.State, group.State)
				}
				seen[task.Addr] = true
			}
		}
		if len(seen) != len(list) || len(list) < 20 {
			t.Errorf("%d of %d tasks in groups", len(seen), len(list))
		}
	})
}

// TestProfile: the profile is valid for pprof itself, has a sample a task, and its counts by
// function are those of the stacks.
func TestProfile(t *testing.T) {
	guesttest.Each(t, func(t *testing.T, g guesttest.Guest) {
		list := read(t, g.Kernel)
		var file bytes.Buffer
		if err := stacks.Profile(list, g.Kernel.System(t.Context())).Write(&file); err != nil {
			t.Fatal(err)
		}
		p, err := profile.Parse(&file)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.CheckValid(); err != nil {
			t.Fatal(err)
		}
		got, want := map[string]int{}, map[string]int{}
		for _, s := range p.Sample {
			for _, l := range s.Location {
				name, _, _ := strings.Cut(l.Line[0].Function.Name, " [")
				got[s.Label["comm"][0]+" "+name]++
			}
		}
		for _, ts := range list {
			for _, f := range ts.Stack.Frames {
				want[ts.Task.Comm+" "+f.Symbol.Name]++
			}
		}
		maps.DeleteFunc(got, func(key string, _ int) bool { return strings.HasSuffix(key, ")") || strings.HasSuffix(key, " ") })
		maps.DeleteFunc(want, func(key string, _ int) bool { return strings.HasSuffix(key, " ") })
		if len(p.Sample) != len(list) || !maps.Equal(got, want) {
			t.Errorf("%d samples of %d tasks, functions %v, want %v", len(p.Sample), len(list), len(got), len(want))
		}
	})
}

// TestFolded: the lines' counts add up to the tasks, outermost function first.
func TestFolded(t *testing.T) {
	g := guesttest.Tiny(t)
	list := read(t, g.Kernel)
	var text strings.Builder
	if err := stacks.WriteFolded(&text, kernel.GroupStacks(list)); err != nil {
		t.Fatal(err)
	}
	sum := 0
	for line := range strings.Lines(text.String()) {
		n, err := strconv.Atoi(strings.TrimSpace(line[strings.LastIndex(line, " ")+1:]))
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		sum += n
	}
	const want = "ID;ret_from_fork_asm;ret_from_fork;kthread;rescuer_thread;schedule;__schedule 8\n"
	if sum != len(list) || !strings.Contains(text.String(), want) {
		t.Errorf("%d tasks in lines, want %d, among them %q:\n%s", sum, len(list), want, text.String())
	}
}

// TestPageIsWhole: the page names no other file or address, and what stands in a task's name
// stays text.
func TestPageIsWhole(t *testing.T) {
	g := guesttest.Tiny(t)
	list := read(t, g.Kernel)
	list[0].Task.Comm = `</script><script>alert("x")`
	var page strings.Builder
	if err := stacks.WriteHTML(&page, kernel.GroupStacks(list), g.Kernel.System(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"http:", "https:", "src=", "href=", "<script>alert", "@import"} {
		if strings.Contains(page.String(), bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for _, want := range []string{"rescuer_thread", "ck_null_work [crashkit]", g.Kernel.System(t.Context()).Nodename, "</html>"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}
