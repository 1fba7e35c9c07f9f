package crashshell

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Log is the kernel's log of an answer to log.
type Log struct {
	Records []LogRecord `json:"records"`
}

// LogRecord is a record of the log. What its lines do not say is left out: log -t says no time,
// and only log -m a level.
type LogRecord struct {
	Time     *time.Duration `json:"time_ns,omitempty"` // since boot
	Wall     time.Time      `json:"wall,omitzero"`     // of log -T
	Caller   string         `json:"caller,omitempty"`  // of log -c: T and a PID, or C and a CPU
	Level    *int           `json:"level,omitempty"`   // 0 to 7
	Facility *int           `json:"facility,omitempty"`
	Text     string         `json:"text"`             // of several lines if the record is
	Device   []string       `json:"device,omitempty"` // of log -d: "SUBSYSTEM=acpi"
}

var (
	logPrefix = regexp.MustCompile(`^(?:<(\d{1,6})>)?(?:\[ *(\d{1,9})\.(\d{1,9})\] ?|\[([A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S{1,6} \d{4})\] ?)?(?:\[ *([TC]\d{1,9})\] ?)?(?:<(\d{1,6})>)?`)
	logDevice = regexp.MustCompile(`^ *((?:SUBSYSTEM|DEVICE)=.*)$`)
)

// ParseLog reads the answer to log with any of its options. Every line is part of a record, so
// there is no error.
func ParseLog(out []byte) (Log, error) {
	log := Log{Records: []LogRecord{}}
	width := 0 // of the last record's prefix: later lines of it are indented by that
	for line := range answerLines(out) {
		n := len(log.Records)
		m := logPrefix.FindStringSubmatch(line)
		stamped := m[2] != "" || m[4] != ""
		device := logDevice.FindStringSubmatch(line)
		switch {
		case !stamped && n > 0 && width > 0 && device != nil:
			log.Records[n-1].Device = append(log.Records[n-1].Device, device[1])
		case !stamped && n > 0 && width > 0 && strings.HasPrefix(line, strings.Repeat(" ", width)):
			log.Records[n-1].Text += "\n" + line[width:]
		default:
			width = 0
			if stamped {
				width = len(m[0])
			}
			log.Records = append(log.Records, logRecord(m, line[len(m[0]):]))
		}
	}
	return log, nil
}

// logRecord makes a record of what its prefix said.
func logRecord(m []string, text string) LogRecord {
	r := LogRecord{Text: text, Caller: m[5]}
	if m[2] != "" {
		fraction := m[3] + strings.Repeat("0", 9-len(m[3]))
		d := time.Duration(atoi(m[2]))*time.Second + time.Duration(atoi(fraction))
		r.Time = &d
	}
	if m[4] != "" {
		r.Wall, _ = parseDate(m[4])
	}
	if number := m[1] + m[6]; number != "" {
		n, _ := strconv.Atoi(number)
		level, facility := n&7, n>>3
		r.Level, r.Facility = &level, &facility
	}
	return r
}
