package tinpot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

const (
	resend         = time.Second
	acceptDelay    = 5 * time.Millisecond
	waiting        = 500 * time.Millisecond
	waitingPerSlot = 256
	// look is the time between two looks at the attempts that are held.
	look = 100 * time.Millisecond
	// silentBeats is the number of beats that another store must have heard after the last one that
	// the present one echoed.
	silentBeats = 3
	formerMax   = 8
	shortGrace  = 2 * time.Second
)

// A stopReason is the reason why an attempt is asked to end.
type stopReason string

const (
	stopCancelled    stopReason = "cancelled"
	stopTimedOut     stopReason = "timed_out"
	stopFenced       stopReason = "fenced"
	stopShuttingDown stopReason = "shutting_down"
)

// A host is the caller of a machine, which has clock, transport and attempts.
type host interface {
	send(message)
	start(*dispatch)
	stop(fence Fence, reason stopReason, grace time.Duration)
	forget(Fence)
	drainRequested()
}

type phase int

const (
	phaseWaiting phase = iota
	phaseRunning
	phaseStopping
	phaseEnded
)

// A held attempt is one whose end is not acknowledged.
type held struct {
	dispatch *dispatch
	phase    phase
	since    time.Duration
	// said is the last accept: 0 for none, 1 for waiting, 2 for running.
	said    int
	reason  stopReason
	dropped bool
	// hurried says that the end of the lease has replaced a longer grace period.
	hurried bool
	report  message
	sentAt  time.Duration
}

type former struct {
	epoch   Epoch
	seen    map[uint64]string
	settled uint64
}

type profile struct {
	id, name       string
	slots          int
	queues, groups []string
	offer          offer
	startedAt      int64
}

type beatSent struct {
	seq uint64
	at  time.Duration
}

type acceptDue struct {
	at    time.Duration
	fence Fence
}

// A machine makes the decisions of a worker: which attempts to run, when to end them, what to report
// until when. It has no clock and does no I/O. Times count from any moment.
type machine struct {
	profile  profile
	host     host
	epoch    *Epoch
	held     map[Fence]*held
	draining bool

	order        []Fence // held, in the order of arrival
	waiting      []Fence
	running      int
	endAt        time.Duration
	lastBeat     uint64
	beats        []beatSent
	nextBeat     time.Duration
	lease        time.Duration
	leaseUntil   time.Duration
	termsOf      *Epoch
	beatInterval time.Duration
	lastEcho     uint64
	settled      uint64
	// seen has the fences of this epoch above settled that were handled, each with the reason of its
	// rejection. A cancel that arrives before its dispatch leaves its fence here, too.
	seen     map[uint64]string
	former   []former
	accepts  []acceptDue
	lookedAt time.Duration
}

const never = time.Duration(1<<63 - 1)

func newMachine(profile profile, host host) *machine {
	return &machine{
		profile: profile, host: host, held: map[Fence]*held{}, seen: map[uint64]string{},
		endAt: never, nextBeat: never, lease: time.Minute, beatInterval: 5 * time.Second,
	}
}

// linkUp introduces the worker on a new connection, and repeats every report.
func (m *machine) linkUp(now time.Duration) {
	m.hello(now)
	for _, fence := range m.order {
		if m.held[fence].phase == phaseEnded {
			m.sendReport(now, fence)
		}
	}
}

// wakeAt returns when tick must be called.
func (m *machine) wakeAt() time.Duration {
	wake := min(m.nextBeat, m.endAt)
	if len(m.accepts) > 0 {
		wake = min(wake, m.accepts[0].at)
	}
	if len(m.held) > 0 {
		wake = min(wake, m.lookedAt+look)
	}
	return wake
}

// tick performs everything that is due.
func (m *machine) tick(now time.Duration) {
	m.lookedAt = now
	for _, fence := range slices.Clone(m.order) {
		m.look(now, fence, m.held[fence])
	}
	for len(m.accepts) > 0 && m.accepts[0].at <= now {
		fence := m.accepts[0].fence
		m.accepts = m.accepts[1:]
		m.sendAccept(fence, false)
	}
	if m.nextBeat <= now {
		m.beat(now)
	}
	if m.endAt <= now {
		m.endAt = never
		for _, fence := range slices.Clone(m.order) {
			one := m.held[fence]
			m.stop(fence, one, stopShuttingDown, min(one.dispatch.Grace.duration(), shortGrace))
		}
	}
}

func (m *machine) look(now time.Duration, fence Fence, one *held) {
	request := one.dispatch
	switch {
	case one.phase == phaseEnded:
		if one.sentAt+resend <= now {
			m.sendReport(now, fence)
		}
	case request.Retryable && m.leaseUntil-m.margin(request) <= now:
		// Another worker may run it once the lease is over, so it must be dead by then.
		switch {
		case one.phase == phaseWaiting:
			m.giveBack(now, fence)
		case one.phase == phaseRunning:
			m.stop(fence, one, stopFenced, min(request.Grace.duration(), m.lease/3))
		case request.Grace.duration() > m.lease/3 && !one.hurried:
			one.hurried = true
			if one.reason != stopFenced {
				m.host.stop(fence, one.reason, m.lease/3)
			}
		}
	case one.phase == phaseWaiting:
		if one.since+waiting <= now {
			m.giveBack(now, fence)
		}
	case request.Timeout != nil && one.since+request.Timeout.duration() <= now:
		m.stop(fence, one, stopTimedOut, request.Grace.duration())
	}
}

func (m *machine) margin(request *dispatch) time.Duration {
	return min(request.Grace.duration(), m.lease/3) + m.lease/20
}

func (m *machine) hello(now time.Duration) {
	slots := m.profile.slots
	if m.draining {
		slots = 0
	}
	m.host.send(message{"hello": hello{
		Name: m.profile.name, Queues: m.profile.queues, Groups: m.profile.groups, Slots: slots,
		Offer: m.profile.offer, Epoch: m.epoch, Version: Version, StartedAt: m.profile.startedAt,
		Seq: m.lastBeat + 1,
	}})
	m.beat(now)
}

func (m *machine) beat(now time.Duration) {
	m.lastBeat++
	m.beats = append(m.beats, beatSent{m.lastBeat, now})
	// The echo of an older beat could not extend the lease.
	for m.beats[0].at < now-m.lease {
		m.beats = m.beats[1:]
	}
	m.nextBeat = now + m.beatInterval
	m.host.send(message{"beat": beat{
		Seq: m.lastBeat, Free: max(m.profile.slots-m.running, 0), Held: m.fences(), Epoch: m.epoch,
	}})
}

func (m *machine) fences() []Fence { return append([]Fence{}, m.order...) }

func (m *machine) sendReport(now time.Duration, fence Fence) {
	one := m.held[fence]
	one.sentAt = now
	m.host.send(one.report)
}

func (m *machine) sendAccept(fence Fence, again bool) {
	one := m.held[fence]
	if one == nil || one.phase == phaseEnded {
		return
	}
	running := one.phase != phaseWaiting
	said := 1
	if running {
		said = 2
	}
	if again || one.said != said {
		one.said = said
		m.host.send(message{"accept": accept{fence, running}})
	}
}

// receive handles a message of the control lane.
func (m *machine) receive(now time.Duration, kind string, body json.RawMessage) error {
	// Overdue attempts end before any message can extend the lease, also after a long sleep.
	if m.lookedAt+look <= now {
		m.tick(now)
	}
	epoch, lastBeat := m.epoch, m.lastBeat
	var err error
	switch kind {
	case "dispatch":
		request := &dispatch{}
		if err = json.Unmarshal(body, request); err == nil {
			m.dispatched(now, request)
		}
	case "beat_ack":
		var ack beatAck
		if err = json.Unmarshal(body, &ack); err == nil {
			m.beatAcknowledged(now, &ack)
		}
	case "cancel", "probe", "drain", "result_ack", "who_is_there":
		var request asked
		if err = json.Unmarshal(body, &request); err == nil {
			m.asked(now, kind, &request)
		}
	}
	if err != nil {
		return fmt.Errorf("a message of type %s cannot be read: %w", kind, err)
	}
	if m.epoch != epoch && m.lastBeat == lastBeat {
		// The coordinator dispatches nothing before it knows that the worker follows it.
		m.beat(now)
	}
	return nil
}

func (m *machine) asked(now time.Duration, kind string, request *asked) {
	if kind == "who_is_there" {
		// Also answers coordinators of later epochs and other stores: the echo of the next beat shows
		// that they are at work.
		if m.epoch == nil || !m.epoch.isAfter(request.Epoch) {
			m.hello(now)
		}
		return
	}
	if m.epoch == nil || *m.epoch != request.Epoch {
		return
	}
	fence, one := request.Fence, m.held[request.Fence]
	switch {
	case kind == "drain":
		m.askedToDrain(now)
	case kind == "cancel":
		m.cancelled(now, fence, request.Force)
	case kind == "result_ack":
		if one != nil && one.phase == phaseEnded {
			m.drop(fence)
		}
	case one == nil:
		m.notHere(fence)
	case one.phase == phaseEnded:
		m.sendReport(now, fence)
	default:
		m.sendAccept(fence, true)
	}
}

func (m *machine) beatAcknowledged(now time.Duration, ack *beatAck) {
	if !m.adopt(ack.Epoch, ack.SeqEcho) {
		return
	}
	// Without these two, the coordinator is of an earlier version.
	lease, interval := time.Minute, 5*time.Second
	if ack.Lease != nil {
		lease = ack.Lease.duration()
	}
	if ack.Beat != nil {
		interval = ack.Beat.duration()
	}
	// A lease shorter than three beats would end between two of them.
	m.termsOf, m.lease, m.beatInterval = m.epoch, lease, min(interval, lease/3)
	m.renew(ack.SeqEcho)
	m.settle(ack.Settled)
	for _, fence := range ack.Drop {
		m.dropped(fence)
	}
	for _, fence := range ack.Cancel {
		m.cancelled(now, fence, false)
	}
}

// renew extends the lease from the moment at which the echoed beat was sent.
func (m *machine) renew(echo uint64) bool {
	place := slices.IndexFunc(m.beats, func(sent beatSent) bool { return sent.seq == echo })
	if place < 0 {
		return false
	}
	if m.termsOf != nil && *m.termsOf == *m.epoch {
		m.leaseUntil = max(m.leaseUntil, m.beats[place].at+m.lease)
	}
	return true
}

func (m *machine) settle(upTo uint64) {
	if upTo > m.settled {
		m.settled = upTo
		for number := range m.seen {
			if number <= upTo {
				delete(m.seen, number)
			}
		}
	}
}

// adopt follows an epoch that echoes a beat, if it has taken over. It returns true if it is followed.
func (m *machine) adopt(epoch Epoch, echo uint64) bool {
	isOurs := slices.ContainsFunc(m.beats, func(sent beatSent) bool { return sent.seq == echo })
	known := m.epoch
	if known != nil && *known == epoch {
		if isOurs {
			m.lastEcho = max(m.lastEcho, echo)
		}
		return true
	}
	if isOurs && (known == nil || epoch.isAfter(*known)) {
		m.epoch, m.seen, m.settled = &epoch, map[uint64]string{}, 0
		m.lastEcho = max(m.lastEcho, echo)
		return true
	}
	// Another store has taken over only if the present one has been silent.
	if known == nil || known.Instance == epoch.Instance || !isOurs || echo < m.lastEcho+silentBeats {
		return false
	}
	left := former{*known, m.seen, m.settled}
	place := slices.IndexFunc(m.former, func(old former) bool { return old.epoch.Instance == epoch.Instance })
	m.seen, m.settled = map[uint64]string{}, 0
	switch {
	case place < 0 && len(m.former) >= formerMax, place >= 0 && m.former[place].epoch.Number > epoch.Number:
		m.seen, m.settled = left.seen, left.settled
		return false
	case place >= 0:
		if m.former[place].epoch == epoch {
			m.seen, m.settled = m.former[place].seen, m.former[place].settled
		}
		m.former = slices.Delete(m.former, place, place+1)
	}
	m.former = append(m.former, left)
	m.epoch, m.lastEcho = &epoch, echo
	return true
}

func (m *machine) dispatched(now time.Duration, request *dispatch) {
	fence := request.Fence
	if !m.adopt(fence.Epoch, request.SeqEcho) {
		return
	}
	if one := m.held[fence]; one != nil {
		if one.phase == phaseEnded {
			m.sendReport(now, fence)
		} else {
			m.sendAccept(fence, true)
		}
		return
	}
	if fence.Number <= m.settled {
		return
	}
	why, known := m.seen[fence.Number]
	if !known {
		why = m.refusal(now, request)
		m.seen[fence.Number] = why
		m.settle(min(request.Settled, fence.Number-1))
	}
	if why != "" {
		m.host.send(message{"reject": reject{fence, why}})
	}
	if why != "" || known {
		return
	}
	m.held[fence] = &held{dispatch: request, since: now}
	m.order = append(m.order, fence)
	m.waiting = append(m.waiting, fence)
	m.accepts = append(m.accepts, acceptDue{now + acceptDelay, fence})
	m.startWaiting(now)
}

// refusal returns the reason for which a dispatch is rejected, or nothing.
func (m *machine) refusal(now time.Duration, request *dispatch) string {
	isOffered := func(one offered) bool { return one.Name == request.Action }
	switch {
	case !m.renew(request.SeqEcho), m.leaseUntil-m.margin(request) <= now:
		return "stale"
	case m.draining:
		return "draining"
	case request.Bundle != nil, !slices.ContainsFunc(m.profile.offer.Actions, isOffered):
		return "unknown_action"
	case len(m.waiting) >= m.profile.slots*waitingPerSlot:
		return "busy"
	}
	return ""
}

func (m *machine) startWaiting(now time.Duration) {
	for len(m.waiting) > 0 && m.running < m.profile.slots {
		fence := m.waiting[0]
		m.waiting = m.waiting[1:]
		one := m.held[fence]
		one.phase, one.since = phaseRunning, now
		m.running++
		if one.said == 1 {
			m.accepts = append(m.accepts, acceptDue{now + acceptDelay, fence})
		}
		m.host.start(one.dispatch)
	}
}

// finished ends an attempt of which nothing is alive any more.
func (m *machine) finished(now time.Duration, fence Fence, end outcome, lastLog uint64, killed bool) {
	one := m.held[fence]
	if one == nil || (one.phase != phaseRunning && one.phase != phaseStopping) {
		return
	}
	m.running--
	isCancelled := bytes.Equal(end, outcomeCancelled)
	switch {
	case one.dropped:
		m.drop(fence)
		m.host.forget(fence)
	case isCancelled && one.reason == stopFenced:
		m.release(now, fence, "killed")
	default:
		if isCancelled && one.reason == stopTimedOut {
			end = outcomeTimedOut
		} else if isCancelled && one.reason == stopShuttingDown {
			text := "the worker shut down before the action had finished"
			end = failure{Code: "worker_shutdown", Kind: "WorkerShutdown", Message: text}.outcome()
			killed = false
		}
		m.end(now, fence, message{"result": result{
			fence, end, lastLog, (now - one.since).Microseconds(), killed && isCancelled,
		}})
	}
	m.startWaiting(now)
}

func (m *machine) end(now time.Duration, fence Fence, report message) {
	one := m.held[fence]
	one.phase, one.report = phaseEnded, report
	m.sendReport(now, fence)
}

func (m *machine) release(now time.Duration, fence Fence, how string) {
	m.end(now, fence, message{"released": released{fence, how}})
}

func (m *machine) giveBack(now time.Duration, fence Fence) {
	m.waiting = without(m.waiting, fence)
	m.release(now, fence, "never_ran")
}

func (m *machine) drop(fence Fence) {
	delete(m.held, fence)
	m.order = without(m.order, fence)
}

func without(fences []Fence, fence Fence) []Fence {
	if place := slices.Index(fences, fence); place >= 0 {
		return slices.Delete(fences, place, place+1)
	}
	return fences
}

// stop asks an attempt to end. The first reason counts; without grace, it is asked again.
func (m *machine) stop(fence Fence, one *held, reason stopReason, grace time.Duration) {
	if one.phase == phaseRunning {
		one.phase, one.reason = phaseStopping, reason
		m.host.stop(fence, reason, grace)
	} else if one.phase == phaseStopping && grace == 0 {
		m.host.stop(fence, one.reason, grace)
	}
}

func (m *machine) cancelled(now time.Duration, fence Fence, force bool) {
	one := m.held[fence]
	switch {
	case one == nil:
		if _, known := m.seen[fence.Number]; !known && fence.Epoch == *m.epoch && fence.Number > m.settled {
			m.seen[fence.Number] = ""
		}
		m.notHere(fence)
	case one.phase == phaseWaiting:
		m.giveBack(now, fence)
	case one.phase == phaseEnded:
		m.sendReport(now, fence)
	case force:
		m.stop(fence, one, stopCancelled, 0)
	default:
		m.stop(fence, one, stopCancelled, one.dispatch.Grace.duration())
	}
}

// dropped ends an attempt that does not belong to this worker any more. It is not reported.
func (m *machine) dropped(fence Fence) {
	one := m.held[fence]
	if one == nil {
		return
	}
	switch one.phase {
	case phaseRunning, phaseStopping:
		one.phase, one.reason, one.dropped = phaseStopping, stopFenced, true
		m.host.stop(fence, stopFenced, min(one.dispatch.Grace.duration(), shortGrace))
		return
	case phaseWaiting:
		m.waiting = without(m.waiting, fence)
		m.host.forget(fence)
	}
	m.drop(fence)
}

func (m *machine) notHere(fence Fence) {
	// The worker holds each attempt until its end is acknowledged, and ignores dispatches of earlier
	// epochs. So one that it does not hold never ran, unless it is of another store.
	how := "never_ran"
	if m.epoch != nil && m.epoch.Instance != fence.Epoch.Instance {
		how = "unknown"
	}
	m.host.send(message{"released": released{fence, how}})
}

// drain takes nothing new. What still runs after the patience is asked to end.
func (m *machine) drain(now, patience time.Duration) {
	m.takeNothingNew(now)
	m.endAt = min(m.endAt, now+patience)
}

func (m *machine) askedToDrain(now time.Duration) {
	if m.draining {
		// The coordinator repeats its request until the hello arrives.
		m.hello(now)
	} else {
		m.takeNothingNew(now)
		m.host.drainRequested()
	}
}

func (m *machine) takeNothingNew(now time.Duration) {
	if m.draining {
		return
	}
	m.draining = true
	for len(m.waiting) > 0 {
		m.giveBack(now, m.waiting[0])
	}
	m.hello(now)
}

// goodbye returns the last message of a worker of which nothing is alive any more.
func (m *machine) goodbye() message { return message{"goodbye": goodbye{m.fences()}} }
