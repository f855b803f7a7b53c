// Package tinpot is for workers of Tinpot. It speaks version 1 of the protocol over MQTT, with plain and
// with sealed frames.
package tinpot

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// Version is that of this library.
const Version = "0.1.0"

const (
	frameBytes    = 4*1024*1024 - 512
	frameMessages = 512
	turnInputs    = 256
	resultBytes   = 1024 * 1024
	failureBytes  = 64 * 1024
	// lastLines is the time for which a worker that ends waits for its last acknowledgements.
	lastLines  = 5 * time.Second
	exitFenced = 70
)

// An Action is a function that a worker offers.
type Action struct {
	// Name, Group, Queue and Description are those in the catalogue. Without a group and a queue, they
	// are "default".
	Name, Group, Queue, Description string
	// Schema is a JSON Schema of the parameters. Without one, anything is taken.
	Schema json.RawMessage
	// Timeout ends an attempt; 0 is none.
	Timeout time.Duration
	Retry   *Retry
	// Run is the action. Its context is done when the attempt has to end.
	Run func(ctx *Context, parameters json.RawMessage) (any, error)
}

// Typed makes a function for [Action.Run] of one with parameters of a type.
func Typed[P, R any](run func(ctx *Context, parameters P) (R, error)) func(*Context, json.RawMessage) (any, error) {
	return func(ctx *Context, raw json.RawMessage) (any, error) {
		var parameters P
		if err := json.Unmarshal(raw, &parameters); err != nil {
			return nil, Permanent(fmt.Errorf("the parameters cannot be read: %w", err))
		}
		return run(ctx, parameters)
	}
}

// A Context is the attempt that an action runs in. It is done when the attempt has to end.
type Context struct {
	context.Context
	// Execution is the id of the execution, and Attempt the number of the attempt, from 1.
	Execution string
	Attempt   uint32
	// Fence is the identity of the attempt. Those of later attempts are greater.
	Fence Fence
	log   *attemptLog
}

// Log writes a line with structured fields; nil for none.
func (c *Context) Log(level slog.Level, text string, fields map[string]any) {
	name := "debug"
	switch {
	case level >= slog.LevelError:
		name = "error"
	case level >= slog.LevelWarn:
		name = "warning"
	case level >= slog.LevelInfo:
		name = "info"
	}
	var encoded json.RawMessage
	if fields != nil {
		// Fields without a JSON form are left out.
		encoded, _ = encode(fields)
	}
	c.log.write(text, "log", name, encoded)
}

// Write writes lines as the output of the action.
func (c *Context) Write(text []byte) (int, error) {
	c.log.write(strings.TrimSuffix(string(text), "\n"), "stdout", "info", nil)
	return len(text), nil
}

// Progress reports progress; total 0 is unknown. The last report counts.
func (c *Context) Progress(done, total float64, text string) {
	report := &progress{Fence: c.Fence, Done: done, Message: text}
	if total != 0 {
		report.Total = &total
	}
	c.log.report(report)
}

type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent marks an error: the execution is not retried.
func Permanent(err error) error { return permanent{err} }

// A failure is the JSON form of an error.
type failure struct {
	Code      string `json:"code,omitempty"`
	Kind      string `json:"kind,omitempty"`
	Message   string `json:"message"`
	Traceback string `json:"traceback,omitempty"`
	Permanent bool   `json:"permanent,omitempty"`
}

func (f failure) outcome() outcome {
	f.Message, f.Traceback = cut(f.Message), cut(f.Traceback)
	// Texts always have a JSON form.
	text, _ := encode(map[string]failure{"failed": f})
	return text
}

func cut(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), failureBytes)], "\uFFFD")
}

// Config is the configuration of a worker.
type Config struct {
	// Broker is the URL of the broker, and Namespace that of the coordinator.
	Broker, Namespace string
	// Name is the name of the worker, Slots the number of attempts that run at once, and Queues the
	// queues that it serves; empty means all.
	Name   string
	Slots  int
	Queues []string
	// Identity is that of a worker that has joined. Its frames are sealed.
	Identity *Identity
	// Patience is the time that running attempts have when the worker drains.
	Patience time.Duration
	Actions  []Action
	Logger   *slog.Logger
}

type attempt struct {
	dispatch *dispatch
	log      *attemptLog
	cancel   context.CancelFunc
	killed   bool
}

type ended struct {
	fence   Fence
	outcome outcome
}

type overdue struct {
	fence  Fence
	reason stopReason
}

// A Worker runs actions. One goroutine has the machine; attempts and connections talk to it.
type Worker struct {
	config   Config
	id       string
	actions  map[string]Action
	machine  *machine
	sessions *sessions
	links    [2]*connection
	up       [2]string
	began    time.Time
	out      []message
	attempts map[Fence]*attempt
	logs     map[Fence]*attemptLog
	ends     chan ended
	overdue  chan overdue
	wake     chan struct{}
	linkUps  chan struct{}
	asked    bool
}

// New makes a worker, which does nothing before [Worker.Run].
func New(config Config) (*Worker, error) {
	if config.Identity != nil {
		config.Name, config.Namespace = config.Identity.Name, config.Identity.Namespace
		if config.Identity.Broker != "" {
			config.Broker = config.Identity.Broker
		}
	}
	if config.Name == "" {
		config.Name = "go"
	}
	if config.Namespace == "" {
		config.Namespace = "tinpot"
	}
	if config.Patience == 0 {
		config.Patience = 10 * time.Second
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.Slots < 1 {
		return nil, fmt.Errorf("slots must be at least 1 (got %d)", config.Slots)
	}
	suffix := make([]byte, 4)
	if _, err := rand.Read(suffix); err != nil {
		return nil, err
	}
	isSafe := func(c rune) rune {
		if strings.ContainsRune(base62+"._-", c) {
			return c
		}
		return '-'
	}
	name := strings.Map(isSafe, config.Name)
	w := &Worker{
		config: config, id: name[:min(len(name), 64)] + "-" + hex.EncodeToString(suffix),
		actions: map[string]Action{}, began: time.Now(),
		attempts: map[Fence]*attempt{}, logs: map[Fence]*attemptLog{},
		ends: make(chan ended, 64), overdue: make(chan overdue, 64),
		wake: make(chan struct{}, 1), linkUps: make(chan struct{}, 1),
	}
	about := profile{
		id: w.id, name: config.Name, slots: config.Slots, groups: []string{},
		queues: append([]string{}, config.Queues...), startedAt: w.began.UnixMicro(),
		offer: offer{Actions: []offered{}},
	}
	for _, action := range config.Actions {
		w.actions[action.Name] = action
		about.offer.Actions = append(about.offer.Actions, offered{
			action.Name, action.Group, action.Description, action.Queue, action.Schema,
			action.Timeout.Milliseconds(), action.Retry,
		})
	}
	w.machine = newMachine(about, w)
	if config.Identity != nil {
		w.sessions = newSessions(w.id, config.Identity)
	}
	return w, nil
}

func (w *Worker) now() time.Duration { return time.Since(w.began) }

// Run runs until the context is done or the coordinator asks the worker to drain. Then the worker takes
// nothing new, and ends once everything is reported.
func (w *Worker) Run(ctx context.Context) error {
	var login *url.Userinfo
	if identity := w.config.Identity; identity != nil && identity.User != "" {
		login = url.UserPassword(identity.User, identity.Password)
	}
	name := w.id[:strings.LastIndexByte(w.id, '-')]
	base := fmt.Sprintf("%s/worker/%s/%s", w.config.Namespace, name, w.id)
	var frames [2]chan []byte
	notify := [2]func(){func() { signal(w.linkUps) }, func() { signal(w.wake) }}
	for on := range frames {
		frames[on] = make(chan []byte, turnInputs)
		way := lane(on).String()
		topics := []string{base + "/down/" + way, w.config.Namespace + "/workers/" + way}
		w.up[on] = base + "/up/" + way
		client := w.id + "-" + way
		link, err := connect(context.Background(), w.config.Broker, login, client, topics, frames[on], notify[on])
		if err != nil {
			return err
		}
		defer link.close()
		w.links[on] = link
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	done := ctx.Done()
	var lastLook time.Time
	for {
		select {
		case frame := <-frames[laneControl]:
			w.takeControl(frame)
			for more := len(frames[laneControl]); more > 0; more-- {
				w.takeControl(<-frames[laneControl])
			}
		case frame := <-frames[laneLogs]:
			w.takeLogs(frame)
		case end := <-w.ends:
			w.finish(end)
			for more := len(w.ends); more > 0; more-- {
				w.finish(<-w.ends)
			}
		case late := <-w.overdue:
			w.graceIsOver(late)
		case <-w.linkUps:
			w.linkUp()
		case <-w.wake:
		case <-timer.C:
		case <-done:
			done = nil
			w.machine.drain(w.now(), w.config.Patience)
		}
		if w.asked {
			w.asked = false
			w.machine.drain(w.now(), w.config.Patience)
		}
		timer.Reset(w.turn())
		if !w.machine.draining || len(w.machine.held) > 0 {
			continue
		}
		if lastLook.IsZero() {
			lastLook = time.Now().Add(lastLines)
		}
		if len(w.logs) == 0 || time.Now().After(lastLook) {
			w.flush(laneControl, []message{w.machine.goodbye()})
			return nil
		}
		timer.Reset(20 * time.Millisecond)
	}
}

func signal(channel chan struct{}) {
	select {
	case channel <- struct{}{}:
	default:
	}
}

// turn sends everything that is ready, and returns when to look again.
func (w *Worker) turn() time.Duration {
	now := w.now()
	wake := never
	if w.sessions != nil {
		if init := w.sessions.tick(now); init != nil {
			w.links[laneControl].publish(w.up[laneControl], init)
			if w.sessions.unanswered%15 == 5 {
				w.config.Logger.Warn("no coordinator answers: is one running, and the key enrolled?")
			}
		}
		wake = w.sessions.due
	}
	if w.machine.wakeAt() <= now {
		w.machine.tick(now)
	}
	w.flush(laneControl, w.out)
	w.out = nil
	if w.links[laneLogs].isUp.Load() {
		var lines []message
		for fence, log := range w.logs {
			lines = append(lines, log.due(now)...)
			if log.isOver() {
				delete(w.logs, fence)
			}
		}
		w.flush(laneLogs, lines)
	}
	for _, log := range w.logs {
		wake = min(wake, log.wakeAt())
	}
	wake = min(wake, w.machine.wakeAt())
	if wake == never {
		return time.Hour
	}
	// Without a connection, nothing is urgent.
	if !w.links[laneControl].isUp.Load() || !w.links[laneLogs].isUp.Load() {
		wake = max(wake, now+100*time.Millisecond)
	}
	return max(wake-now, time.Millisecond)
}

func (w *Worker) linkUp() {
	if w.sessions != nil {
		w.sessions.linkUp(w.now())
	}
	if w.sessions == nil || len(w.sessions.open) > 0 {
		w.machine.linkUp(w.now())
	}
}

func (w *Worker) takeControl(frame []byte) {
	for _, one := range w.open(laneControl, frame) {
		for kind, body := range one {
			if err := w.machine.receive(w.now(), kind, body); err != nil {
				w.config.Logger.Warn("a message was skipped", "error", err)
			}
		}
	}
}

func (w *Worker) takeLogs(frame []byte) {
	for _, one := range w.open(laneLogs, frame) {
		var ack logAck
		if body, is := one["log_ack"]; is && json.Unmarshal(body, &ack) == nil {
			if log := w.logs[ack.Fence]; log != nil {
				log.acknowledged(w.now(), ack.Seq)
			}
		}
	}
}

func (w *Worker) open(on lane, frame []byte) []map[string]json.RawMessage {
	document, err := frame, error(nil)
	if w.sessions != nil {
		var isOpen bool
		document, isOpen, err = w.sessions.read(w.now(), on, frame)
		if isOpen {
			// The coordinator seals with a session only once it has opened a frame in it.
			w.machine.linkUp(w.now())
		}
	} else if strings.HasPrefix(string(frame[:min(4, len(frame))]), "TPF1") {
		err = errors.New("the coordinator takes sealed frames: this worker has not joined")
	}
	var messages []map[string]json.RawMessage
	if err == nil && document != nil {
		messages, err = readFrame(document, w.id)
	}
	if err != nil {
		w.config.Logger.Info("a frame was dropped", "error", err)
	}
	return messages
}

func (w *Worker) flush(on lane, messages []message) {
	if len(messages) == 0 || !w.links[on].isUp.Load() {
		// They are sent again.
		return
	}
	head := `{"v":1,"from":"` + w.id + `","messages":[`
	frame, count := []byte(head), 0
	for _, one := range messages {
		part, err := encode(one)
		if err != nil {
			w.config.Logger.Error("a message has no JSON form", "error", err)
			continue
		}
		if count > 0 && (count >= frameMessages || len(frame)+len(part) > frameBytes) {
			w.publish(on, append(frame, "]}"...))
			frame, count = []byte(head), 0
		}
		if count > 0 {
			frame = append(frame, ',')
		}
		frame, count = append(frame, part...), count+1
	}
	w.publish(on, append(frame, "]}"...))
}

func (w *Worker) publish(on lane, document []byte) {
	frames, err := [][]byte{document}, error(nil)
	if w.sessions != nil {
		frames, err = w.sessions.seal(on, document)
	}
	if err != nil {
		w.config.Logger.Error("a frame was not sealed", "error", err)
	}
	for _, frame := range frames {
		w.links[on].publish(w.up[on], frame)
	}
}

// What the machine asks for.

func (w *Worker) send(one message) { w.out = append(w.out, one) }

func (w *Worker) start(request *dispatch) {
	ctx, cancel := context.WithCancel(context.Background())
	log := &attemptLog{fence: request.Fence, wake: func() { signal(w.wake) }}
	w.logs[request.Fence] = log
	w.attempts[request.Fence] = &attempt{dispatch: request, log: log, cancel: cancel}
	context := &Context{ctx, request.Execution, request.Attempt, request.Fence, log}
	run := w.actions[request.Action].Run
	go func() { w.ends <- ended{request.Fence, outcomeOf(context, run, request.Parameters)} }()
}

func outcomeOf(ctx *Context, run func(*Context, json.RawMessage) (any, error), parameters json.RawMessage) (end outcome) {
	defer func() {
		if cause := recover(); cause != nil {
			end = failure{Code: "panicked", Kind: "panic", Message: fmt.Sprint(cause), Traceback: string(debug.Stack())}.outcome()
		}
	}()
	value, err := run(ctx, parameters)
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return outcomeCancelled
		}
		var isPermanent permanent
		final := errors.As(err, &isPermanent)
		return failure{Kind: kindOf(err), Message: err.Error(), Permanent: final}.outcome()
	}
	text, err := encode(value)
	if err != nil {
		return failure{Kind: "ResultError", Message: "the result has no JSON form: " + err.Error(), Permanent: true}.outcome()
	}
	if len(text) > resultBytes {
		about := fmt.Sprintf("the result has %d bytes; at most %d are taken", len(text), resultBytes)
		return failure{Code: "result_too_large", Kind: "ResultTooLarge", Message: about}.outcome()
	}
	return outcome(fmt.Sprintf(`{"succeeded":%s}`, text))
}

// kindOf returns the name of an error's type, unless it says nothing.
func kindOf(err error) string {
	name := strings.TrimPrefix(fmt.Sprintf("%T", err), "*")
	if name == "errors.errorString" || name == "fmt.wrapError" || name == "tinpot.permanent" {
		return ""
	}
	return name
}

func (w *Worker) stop(fence Fence, reason stopReason, grace time.Duration) {
	w.attempts[fence].cancel()
	time.AfterFunc(grace, func() { w.overdue <- overdue{fence, reason} })
}

func (w *Worker) graceIsOver(late overdue) {
	one := w.attempts[late.fence]
	if one == nil {
		return
	}
	one.killed = true
	if late.reason == stopFenced && one.dispatch.Retryable {
		w.config.Logger.Error("the process exits: an attempt does not end, and another worker may run it",
			"action", one.dispatch.Action, "fence", late.fence)
		os.Exit(exitFenced)
	}
}

func (w *Worker) finish(end ended) {
	one := w.attempts[end.fence]
	delete(w.attempts, end.fence)
	one.cancel()
	w.machine.finished(w.now(), end.fence, end.outcome, one.log.finish(), one.killed)
}

func (w *Worker) forget(fence Fence) { delete(w.logs, fence) }

func (w *Worker) drainRequested() {
	w.config.Logger.Info("the coordinator asks this worker to drain")
	w.asked = true
}
