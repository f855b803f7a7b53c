package tinpot

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// windowBytes is in flight of one attempt at most.
	windowBytes = 512 * 1024
	// bufferBytes of one attempt wait for the window at most. Further lines are dropped and counted.
	bufferBytes = 4 * 1024 * 1024
	chunkBytes  = 64 * 1024
	// lineBytes is the longest line: longer ones are split.
	lineBytes = 64 * 1024
	// sameTime is the time, in microseconds, within which lines count as written together.
	sameTime = 1000
)

// A chunk has lines of one origin that were written together.
type chunk struct {
	Fence    Fence           `json:"fence"`
	FirstSeq uint64          `json:"first_seq"`
	Time     int64           `json:"time"`
	Stream   string          `json:"stream"`
	Level    string          `json:"level"`
	Fields   json.RawMessage `json:"fields,omitempty"`
	Lines    []string        `json:"lines"`
	size     int
}

func (c *chunk) lastSeq() uint64 { return c.FirstSeq + uint64(len(c.Lines)) - 1 }

type progress struct {
	Fence   Fence    `json:"fence"`
	Done    float64  `json:"done"`
	Total   *float64 `json:"total,omitempty"`
	Message string   `json:"message,omitempty"`
}

// An attemptLog is the log of one attempt. Any goroutine may write to it.
type attemptLog struct {
	fence    Fence
	wake     func()
	mutex    sync.Mutex
	lastSeq  uint64
	finished bool
	progress *progress

	pending       []*chunk
	pendingBytes  int
	inFlight      []*chunk
	inFlightBytes int
	sentAt        time.Duration
	dropped       int
	unwanted      bool
}

func (l *attemptLog) write(text, stream, level string, fields json.RawMessage) {
	l.mutex.Lock()
	defer l.wake()
	defer l.mutex.Unlock()
	for line := range strings.SplitSeq(strings.ToValidUTF8(text, "\uFFFD"), "\n") {
		for len(line) > lineBytes {
			cut := lineBytes
			for !utf8.RuneStart(line[cut]) {
				cut--
			}
			l.add(line[:cut], stream, level, fields)
			line = line[cut:]
		}
		l.add(line, stream, level, fields)
	}
}

func (l *attemptLog) add(line, stream, level string, fields json.RawMessage) {
	size := len(line) + 8
	if l.unwanted {
		return
	}
	if l.pendingBytes+size > bufferBytes {
		l.dropped++
		return
	}
	if l.dropped > 0 {
		note := fmt.Sprintf("%d lines were dropped: the log is too fast", l.dropped)
		l.dropped = 0
		l.add(note, "system", "warning", nil)
	}
	now := time.Now().UnixMicro()
	l.lastSeq++
	var last *chunk
	if len(l.pending) > 0 {
		last = l.pending[len(l.pending)-1]
	}
	if last == nil || last.Stream != stream || last.Level != level || fields != nil || last.Fields != nil ||
		now-last.Time > sameTime || last.size+size > chunkBytes {
		last = &chunk{Fence: l.fence, FirstSeq: l.lastSeq, Time: now, Stream: stream, Level: level, Fields: fields, size: 64}
		l.pending = append(l.pending, last)
		l.pendingBytes += last.size
	}
	last.Lines = append(last.Lines, line)
	last.size += size
	l.pendingBytes += size
}

func (l *attemptLog) report(progress *progress) {
	l.mutex.Lock()
	l.progress = progress
	l.mutex.Unlock()
	l.wake()
}

// acknowledged drops what the coordinator has stored; everything if it wants no more lines.
func (l *attemptLog) acknowledged(now time.Duration, seq uint64) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if seq == math.MaxUint64 {
		l.unwanted, l.pending, l.pendingBytes = true, nil, 0
	}
	for len(l.inFlight) > 0 && l.inFlight[0].lastSeq() <= seq {
		l.inFlightBytes -= l.inFlight[0].size
		l.inFlight = l.inFlight[1:]
		l.sentAt = now
	}
}

// due returns what is to be sent now: first everything in flight, if that is overdue.
func (l *attemptLog) due(now time.Duration) []message {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	var messages []message
	if l.progress != nil {
		messages = append(messages, message{"progress": l.progress})
		l.progress = nil
	}
	if len(l.inFlight) > 0 && l.sentAt+resend <= now {
		l.sentAt = now
		for _, one := range l.inFlight {
			messages = append(messages, message{"log": one})
		}
	}
	for len(l.pending) > 0 && l.inFlightBytes+l.pending[0].size <= windowBytes {
		one := l.pending[0]
		l.pending = l.pending[1:]
		l.pendingBytes -= one.size
		if len(l.inFlight) == 0 {
			// Later chunks do not move it: a lost one is missed while lines keep coming.
			l.sentAt = now
		}
		l.inFlight = append(l.inFlight, one)
		l.inFlightBytes += one.size
		messages = append(messages, message{"log": one})
	}
	return messages
}

// finish ends the log, and returns the number of its last line.
func (l *attemptLog) finish() uint64 {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.finished = true
	return l.lastSeq
}

// isOver returns true if the attempt has ended and all its lines are stored.
func (l *attemptLog) isOver() bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.finished && len(l.pending) == 0 && len(l.inFlight) == 0 && l.progress == nil
}

func (l *attemptLog) wakeAt() time.Duration {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if len(l.inFlight) == 0 {
		return never
	}
	return l.sentAt + resend
}
