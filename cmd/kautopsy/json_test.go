package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The fields of each document, in their order: scripts depend on them.
var documents = []struct {
	args   []string
	fields string
	inside map[string]string // fields of objects, by their path
}{
	{
		[]string{"info"},
		"schema file size format format_version flattened parts arch byte_order page_size max_pfn incomplete dump_level " +
			"codec pages compression vmcoreinfo vmcoreinfo_origin kernel crash_time cpus notes translation missing",
		map[string]string{
			"pages":  "present excluded hole lost",
			"kernel": "release version machine nodename build_id",
			"notes":  "name type size",
		},
	},
	{
		[]string{"sys"},
		"schema file kernel cpus date uptime_ns load tasks memory_bytes machine panic missing",
		map[string]string{"kernel": "release version machine nodename build_id", "panic": "title comm pid cpu"},
	},
	{
		[]string{"verify"},
		"schema file page_size pages compression damage damage_cut bytes_read seconds missing",
		map[string]string{"pages": "present zero excluded hole lost corrupt"},
	},
	{
		[]string{"sym", "ck_null_work"},
		"schema symbols missing",
		map[string]string{"symbols": "address type name module size offset file line"},
	},
	{
		[]string{"dis", "ck_null_work"},
		"schema instructions missing",
		map[string]string{
			"instructions":        "address symbol module offset bytes text target fault",
			"instructions.target": "address symbol module offset",
		},
	},
	{
		[]string{"mod"},
		"schema modules missing",
		map[string]string{
			"modules":       "name address base size refs used_by state taints build_id areas",
			"modules.areas": "name address size",
		},
	},
	{
		[]string{"files", "1"},
		"schema tasks missing",
		map[string]string{
			"tasks":       "task pid comm root cwd exe files",
			"tasks.files": "fd file dentry inode ino type path access flags pos close_on_exec",
		},
	},
	{
		[]string{"mount", "/mnt/data"},
		"schema mounts missing",
		map[string]string{"mounts": "mount superblock id dev type device dir options options_complete"},
	},
	{
		[]string{"dev"},
		"schema char block disks ioports iomem pci missing",
		map[string]string{
			"char":        "major minor minors name cdev operations",
			"block":       "major minor name",
			"disks":       "name major minor partition size gendisk request_queue operations stats",
			"disks.stats": "reads read_sectors read_ms writes write_sectors write_ms",
			"ioports":     "start end depth name",
		},
	},
	{
		[]string{"ipcs"},
		"schema shared_memory semaphores message_queues missing",
		map[string]string{
			"shared_memory": "address key id uid gid cuid cgid perms size nattch status cpid lpid rss_bytes swap_bytes " +
				"attach_time change_time",
			"semaphores":     "address key id uid gid cuid cgid perms nsems change_time",
			"message_queues": "address key id uid gid cuid cgid perms bytes messages lspid lrpid send_time change_time",
		},
	},
	{[]string{"rd", "init_task", "4"}, "schema address physical word_bytes words missing", nil},
	{
		[]string{"vtop", "init_task"},
		"schema translations missing",
		map[string]string{
			"translations":       "virtual physical how page_size flags steps",
			"translations.steps": "level entry value",
		},
	},
	{
		[]string{"triage"},
		"schema verdict signature findings panic cpus blocked locks stacks system log_tail missing",
		map[string]string{
			"verdict":           "kind title headline detail confidence culprit task cpu context",
			"verdict.culprit":   "function offset module address file line why variables",
			"verdict.task":      "pid comm task",
			"findings":          "id title severity confidence evidence",
			"findings.evidence": "kind text line",
			"panic":             "registers trace code code_bytes",
			"panic.trace":       "n kind address sp symbol offset module file line culprit",
			"cpus":              "cpu pid comm pc registers frames",
			"blocked":           "pid comm task state seconds waits_on owner culprit frames lock owners how",
			"locks":             "kind address owner waiters",
			"stacks":            "count state pids frames",
			"system":            "kernel taint taint_words cpus date uptime_ns load tasks memory_bytes",
			"system.kernel":     "release version machine nodename build_id",
		},
	},
}

// TestDocuments: each command's JSON is one document, schema first and missing last, with
// exactly these fields, and addresses are strings "0x…".
func TestDocuments(t *testing.T) {
	for _, doc := range documents {
		t.Run(doc.args[0], func(t *testing.T) {
			args := append([]string{doc.args[0], "--json", tiny(t, "vmcore.zlib")}, doc.args[1:]...)
			got := call(t, args...)
			if got.code != exitOK || got.err != "" {
				t.Fatalf("exit %d, stderr %q", got.code, got.err)
			}
			checkFields(t, doc.args[0], got.out, doc.fields)
			for path, want := range doc.inside {
				checkFields(t, path, at(t, got.out, path), want)
			}
			checkAddresses(t, got.out)
		})
	}
}

func checkFields(t *testing.T, name, document, want string) {
	t.Helper()
	if got := strings.Join(fieldsOf(t, document), " "); got != want {
		t.Errorf("%s has the fields\n  %s\nwant\n  %s", name, got, want)
	}
}

// fieldsOf gives the names of an object's fields in their order.
func fieldsOf(t *testing.T, document string) (names []string) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(document))
	token := func() json.Token {
		tok, err := d.Token()
		if err != nil {
			t.Fatalf("not JSON: %v", err)
		}
		return tok
	}
	if tok := token(); tok != json.Delim('{') {
		t.Fatalf("the document begins with %v", tok)
	}
	for d.More() {
		names = append(names, token().(string))
		var skip json.RawMessage
		if err := d.Decode(&skip); err != nil {
			t.Fatalf("%v in %s", err, names)
		}
	}
	token()
	if d.More() {
		t.Errorf("something stands behind the document")
	}
	return names
}

// at gives the object at a path of field names; of a list it takes the first object.
func at(t *testing.T, document, path string) string {
	t.Helper()
	raw := json.RawMessage(document)
	for name := range strings.SplitSeq(path, ".") {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(raw, &object); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		raw = object[name]
		if bytes.HasPrefix(raw, []byte("[")) {
			var list []json.RawMessage
			if err := json.Unmarshal(raw, &list); err != nil || len(list) == 0 {
				t.Fatalf("%s: an empty list, %v", path, err)
			}
			raw = list[0]
		}
	}
	return string(raw)
}

// checkAddresses: whatever is called an address is a string of hexadecimal digits.
func checkAddresses(t *testing.T, document string) {
	t.Helper()
	addressed := regexp.MustCompile(`"(address|virtual|physical|entry|value|sp)": ([^,\n]+)`)
	hex := regexp.MustCompile(`^"0x[0-9a-f]{1,16}"$`)
	for _, m := range addressed.FindAllStringSubmatch(document, -1) {
		if m[2] != "true" && m[2] != "false" && !hex.MatchString(m[2]) {
			t.Errorf("%s is %s", m[1], m[2])
		}
	}
}

// TestLogLines: log --json is a document a line, and together they are the log.
func TestLogLines(t *testing.T) {
	got := call(t, "log", "--json", tiny(t, "vmcore.zlib"))
	if got.code != exitOK || got.err != "" {
		t.Fatalf("exit %d, stderr %q", got.code, got.err)
	}
	var text strings.Builder
	last := int64(-1)
	for line := range strings.Lines(got.out) {
		fields := slices.DeleteFunc(fieldsOf(t, line), func(f string) bool { return f == "dict" })
		if f := strings.Join(fields, " "); f != "schema seq ts_ns level facility caller text" {
			t.Fatalf("fields %s in %s", f, line)
		}
		var r struct {
			TS   int64 `json:"ts_ns"`
			Text string
			Dict map[string]string
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.TS < last {
			t.Errorf("time goes back from %d to %d", last, r.TS)
		}
		last = r.TS
		fmt.Fprintf(&text, "[%5d.%06d] %s\n", r.TS/1e9, r.TS/1000%1e6, r.Text)
	}
	if want := call(t, "log", tiny(t, "vmcore.zlib")).out; text.String() != want {
		t.Errorf("the records are not the log: %d and %d bytes", text.Len(), len(want))
	}
}

// TestOopsDocument: the verdict of a text has triage's fields and the reports themselves.
func TestOopsDocument(t *testing.T) {
	got := call(t, "oops", "--json", tiny(t, "truth/vmcore-dmesg.txt"))
	if got.code != exitOK || got.err != "" {
		t.Fatalf("exit %d, stderr %q", got.code, got.err)
	}
	checkFields(t, "oops", got.out, "schema verdict signature findings panic blocked locks stacks system log_tail oopses missing")
	for _, name := range []string{"kind", "title", "first_line", "cpu", "pid", "comm", "taint", "release", "registers", "trace", "modules"} {
		if !slices.Contains(fieldsOf(t, at(t, got.out, "oopses")), name) {
			t.Errorf("oopses has no %q", name)
		}
	}
	for _, name := range []string{"symbol", "offset", "size"} {
		if !slices.Contains(fieldsOf(t, at(t, got.out, "oopses.trace")), name) {
			t.Errorf("oopses.trace has no %q", name)
		}
	}
}
