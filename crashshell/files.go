package crashshell

import (
	"context"
	"regexp"
	"strings"
)

// Files is the answer to files or foreach files.
type Files struct {
	List []TaskFiles `json:"list"`
	Rest []string    `json:"rest,omitempty"` // lines not understood
}

// TaskFiles are the open files of a task.
type TaskFiles struct {
	TaskHeader
	Root   string     `json:"root,omitempty"`
	Cwd    string     `json:"cwd,omitempty"`
	Open   []OpenFile `json:"open"`
	Errors []string   `json:"errors,omitempty"` // crash's own: "files: …"
}

// OpenFile is a row of it.
type OpenFile struct {
	FD     int     `json:"fd"`
	File   Address `json:"file"`
	Dentry Address `json:"dentry,omitempty"`
	Inode  Address `json:"inode,omitempty"`
	Type   string  `json:"type,omitempty"` // REG, DIR, CHR, BLK, FIFO, SOCK, LNK, UNKN
	Path   string  `json:"path,omitempty"`
}

var (
	filesHeading = regexp.MustCompile(`^\s*FD\s+FILE\s+DENTRY\s+INODE\s+TYPE\s+PATH\s*$`)
	filesDirs    = regexp.MustCompile(`^ROOT: (.*?) *(?:   CWD: (.*?) *)?$`)
	filesRow     = regexp.MustCompile(`^\s*(\d+)\s+([0-9a-f]{5,16})\s+([0-9a-f]{5,16}|0|\?)\s+([0-9a-f]{5,16}|0|\?)\s+(?:([A-Z]{3,4}|\?)\b)?\s?(.*?)$`)
)

// ParseFiles reads the answer to files or foreach files. The error is ErrForm.
func ParseFiles(out []byte) (Files, error) {
	v := Files{List: []TaskFiles{}}
	for line := range answerLines(out) {
		n := len(v.List)
		if h, ok := parseTaskHeader(line); ok {
			v.List = append(v.List, TaskFiles{TaskHeader: h, Open: []OpenFile{}})
		} else if strings.TrimSpace(line) != "" && (n == 0 || !v.List[n-1].line(line)) {
			v.Rest = append(v.Rest, line)
		}
	}
	return v, formError(len(v.List) > 0, v.Rest)
}

// line takes what stands below a task's heading.
func (t *TaskFiles) line(line string) bool {
	dirs, row := filesDirs.FindStringSubmatch(line), filesRow.FindStringSubmatch(line)
	switch {
	case filesHeading.MatchString(line), strings.TrimSpace(line) == "No open files":
	case strings.HasPrefix(line, "files: "), strings.HasPrefix(line, "foreach: "):
		t.Errors = append(t.Errors, line)
	case dirs != nil:
		t.Root, t.Cwd = dirs[1], dirs[2]
	case row != nil:
		t.Open = append(t.Open, OpenFile{
			atoi(row[1]), parseAddress(row[2]), parseAddress(row[3]), parseAddress(row[4]), row[5], strings.TrimSpace(row[6]),
		})
	default:
		return false
	}
	return true
}

// Files asks for the open files of tasks (PIDs, addresses), of the panic task without any:
// files.
func (s *Session) Files(ctx context.Context, tasks ...string) (Files, error) {
	return ask(ctx, s, ParseFiles, "files", tasks)
}
