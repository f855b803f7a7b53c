package tinpot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// A message is an object with one key, its type.
type message map[string]any

type millis int64

func (m millis) duration() time.Duration { return time.Duration(m) * time.Millisecond }

// The bodies of messages from the coordinator.
type (
	dispatch struct {
		Fence      Fence           `json:"fence"`
		SeqEcho    uint64          `json:"seq_echo"`
		Settled    uint64          `json:"settled"`
		Execution  string          `json:"execution"`
		Attempt    uint32          `json:"attempt"`
		Action     string          `json:"action"`
		Parameters json.RawMessage `json:"parameters"`
		Timeout    *millis         `json:"timeout_ms"`
		Grace      millis          `json:"grace_ms"`
		Retryable  bool            `json:"retryable"`
		Bundle     json.RawMessage `json:"bundle"`
	}
	beatAck struct {
		Epoch   Epoch   `json:"epoch"`
		SeqEcho uint64  `json:"seq_echo"`
		Settled uint64  `json:"settled"`
		Lease   *millis `json:"lease_ms"`
		Beat    *millis `json:"beat_ms"`
		Drop    []Fence `json:"drop"`
		Cancel  []Fence `json:"cancel"`
	}
	// asked has the fields of cancel, drain, probe, result_ack and who_is_there.
	asked struct {
		Epoch Epoch `json:"epoch"`
		Fence Fence `json:"fence"`
		Force bool  `json:"force"`
	}
	logAck struct {
		Fence Fence  `json:"fence"`
		Seq   uint64 `json:"seq"`
	}
)

// The bodies of messages to the coordinator.
type (
	hello struct {
		Name      string   `json:"name"`
		Queues    []string `json:"queues"`
		Groups    []string `json:"groups"`
		Slots     int      `json:"slots"`
		Offer     offer    `json:"offer"`
		Epoch     *Epoch   `json:"epoch,omitempty"`
		Version   string   `json:"version,omitempty"`
		StartedAt int64    `json:"started_at,omitempty"`
		Seq       uint64   `json:"seq"`
	}
	offer struct {
		Actions []offered `json:"actions"`
	}
	offered struct {
		Name        string          `json:"name"`
		Group       string          `json:"group,omitempty"`
		Description string          `json:"description,omitempty"`
		Queue       string          `json:"queue,omitempty"`
		Schema      json.RawMessage `json:"schema,omitempty"`
		Timeout     int64           `json:"timeout_ms,omitempty"`
		Retry       *Retry          `json:"retry,omitempty"`
	}
	beat struct {
		Seq   uint64  `json:"seq"`
		Free  int     `json:"free"`
		Held  []Fence `json:"held"`
		Epoch *Epoch  `json:"epoch,omitempty"`
	}
	accept struct {
		Fence   Fence `json:"fence"`
		Running bool  `json:"running"`
	}
	reject struct {
		Fence Fence  `json:"fence"`
		Why   string `json:"why"`
	}
	result struct {
		Fence   Fence   `json:"fence"`
		Outcome outcome `json:"outcome"`
		LastLog uint64  `json:"last_log_seq"`
		RanUs   int64   `json:"ran_us"`
		Killed  bool    `json:"killed,omitempty"`
	}
	released struct {
		Fence Fence  `json:"fence"`
		How   string `json:"how"`
	}
	goodbye struct {
		Held []Fence `json:"held"`
	}
)

// An outcome is the end of an attempt in its JSON form.
type outcome = json.RawMessage

var (
	outcomeCancelled = outcome(`"cancelled"`)
	outcomeTimedOut  = outcome(`"timed_out"`)
)

// Retry is the policy of an action: the attempts that follow one that failed, timed out or was lost.
type Retry struct {
	Retries    int     `json:"retries"`
	DelayMs    int64   `json:"delay_ms,omitempty"`
	Factor     float64 `json:"factor,omitempty"`
	MaxDelayMs int64   `json:"max_delay_ms,omitempty"`
	Jitter     float64 `json:"jitter,omitempty"`
	MaxLost    int     `json:"max_lost_attempts,omitempty"`
	On         string  `json:"on,omitempty"`
}

// readFrame returns the messages of a frame that a coordinator sent to this worker.
func readFrame(document []byte, worker string) ([]map[string]json.RawMessage, error) {
	var frame struct {
		V        int               `json:"v"`
		From     *string           `json:"from"`
		To       *string           `json:"to"`
		Messages []json.RawMessage `json:"messages"`
	}
	if err := json.Unmarshal(document, &frame); err != nil {
		return nil, fmt.Errorf("not a frame: %w", err)
	}
	if frame.V != 1 {
		return nil, fmt.Errorf("the frame is of version %d, and this side speaks 1", frame.V)
	}
	if frame.From != nil {
		return nil, errors.New("the frame is of a worker, not of a coordinator")
	}
	if frame.To != nil && *frame.To != worker {
		return nil, nil
	}
	var messages []map[string]json.RawMessage
	for _, raw := range frame.Messages {
		var one map[string]json.RawMessage
		if json.Unmarshal(raw, &one) == nil && len(one) == 1 {
			messages = append(messages, one)
		}
	}
	return messages, nil
}

// encode returns the JSON form of a value, without the escapes that are for HTML.
func encode(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}
