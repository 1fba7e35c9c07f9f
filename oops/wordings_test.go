package oops

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestWordings reads the cases of testdata/wordings: sections of kernel text, each under a line
//
//	### NAME | FIELD=VALUE ...
//
// that says what the report which counts holds; observe lists the fields. An empty value is an absent fact, a
// "/" in a value is a blank, and a text value has to be the beginning of the field.
func TestWordings(t *testing.T) {
	files, err := filepath.Glob("testdata/wordings/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, section := range strings.Split(string(b), "\n### ") {
			head, text, _ := strings.Cut(strings.TrimPrefix(section, "### "), "\n")
			name, wants, _ := strings.Cut(head, " | ")
			t.Run(filepath.Base(f)+"/"+name, func(t *testing.T) { checkWording(t, text, strings.Fields(wants)) })
		}
	}
}

func checkWording(t *testing.T, text string, wants []string) {
	log, err := Parse([]byte(text))
	if len(log.Oopses) == 0 {
		if len(wants) != 1 || wants[0] != "kind=none" || !errors.Is(err, ErrNoReport) {
			t.Fatal(err)
		}
		return
	}
	got := observe(log)
	for _, w := range wants {
		field, want, _ := strings.Cut(w, "=")
		have, known := got[field]
		switch {
		case strings.HasPrefix(field, "reg:"):
			have = log.Oopses[0].Registers[strings.TrimPrefix(field, "reg:")].String()
		case !known:
			t.Errorf("the case asks for an unknown field %q", field)
		}
		want = strings.ReplaceAll(want, "/", " ")
		have = strings.ReplaceAll(have, "/", " ")
		if want == "" && have != "" || !strings.HasPrefix(have, want) {
			t.Errorf("%s is %q, want %q", field, have, want)
		}
	}
}

// observe is the report that counts, as text by field.
func observe(log *Log) map[string]string {
	o := log.Oopses[0]
	got := map[string]string{
		"kind": string(o.Kind) + " ", "title": o.Title, "panic": o.Panic, "end": o.EndTrace, "message": o.Message,
		"comm": o.Comm, "taint": o.Taint, "hardware": o.Hardware, "release": o.Release, "caller": o.Caller,
		"cpu": number(o.CPU), "pid": number(o.PID), "uid": number(o.UID), "number": strconv.Itoa(o.Number),
		"pc": frame(o.PC), "lr": frame(o.LR), "pccontext": "", "module": "", "context": "", "work": "",
		"trace": strconv.Itoa(len(o.Trace)), "related": strconv.Itoa(len(o.Related)),
		"stuck": strings.Trim(fmt.Sprint(o.StuckCPUs), "[]"), "first": strconv.Itoa(o.FirstLine),
		"reports": strconv.Itoa(len(log.Oopses)), "boot": strconv.Itoa(o.Boot), "source": "",
		"requests": strconv.Itoa(len(log.Requests)), "address": "", "access": "", "code": "",
	}
	if o.PC != nil {
		got["module"], got["pccontext"] = o.PC.Module, string(o.PC.Context)
	}
	if len(o.Trace) > 0 {
		got["context"] = string(o.Trace[0].Context)
	}
	if o.Source != nil {
		got["source"] = fmt.Sprintf("%s:%d", o.Source.File, o.Source.Line)
	}
	if o.Workqueue != nil {
		got["work"] = o.Workqueue.Queue
	}
	observeFault(got, o)
	observeTasks(got, o)
	for _, r := range log.Requests {
		got["reqtasks"] += strings.Repeat("1", len(r.Tasks))
		got["reqcpus"] += strings.Repeat("1", len(r.Backtraces))
	}
	return got
}

func observeFault(got map[string]string, o *Oops) {
	if o.Fault == nil {
		return
	}
	got["access"] = o.Fault.Access
	if o.Fault.Address != nil {
		got["address"] = o.Fault.Address.String()
	}
	if o.Fault.Code != nil {
		got["code"] = o.Fault.Code.String()
	}
}

func observeTasks(got map[string]string, o *Oops) {
	got["tasks"] = strconv.Itoa(len(o.Tasks))
	if len(o.Tasks) > 0 {
		task := o.Tasks[0]
		got["task"], got["state"] = task.Comm+":"+number(task.PID), task.State
		got["seconds"], got["tasktrace"] = strconv.Itoa(task.Seconds), strconv.Itoa(len(task.Trace))
		got["waitson"], got["owner"] = task.WaitsOn, task.Owner
	}
	if o.OOM != nil {
		got["order"], got["gfp"], got["constraint"] = number(o.OOM.Order), o.OOM.GFP, o.OOM.Constraint
		if v := o.OOM.Victim; v != nil {
			got["victim"] = fmt.Sprintf("%d:%s", v.PID, v.Comm)
		}
	}
}

func number(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}

func frame(f *Frame) string {
	if f == nil {
		return ""
	}
	return f.String()
}
