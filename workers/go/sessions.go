package tinpot

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	mathrand "math/rand/v2"
	"slices"
	"time"
)

const (
	retryInit     = time.Second
	handshakeTime = 10 * time.Second
	formerTime    = 10 * time.Second
	silence       = time.Minute
	// signaturesPerSecond of accepts, and of notices, are verified.
	signaturesPerSecond = 20
)

type initPayload struct {
	V         int      `json:"v"`
	Namespace string   `json:"namespace"`
	To        string   `json:"to"`
	Worker    string   `json:"worker"`
	Key       string   `json:"key"`
	Shard     int      `json:"shard"`
	E         hexBytes `json:"e"`
	Suites    []string `json:"suites"`
}

type acceptPayload struct {
	V         int               `json:"v"`
	Namespace string            `json:"namespace"`
	Worker    string            `json:"worker"`
	WorkerKey string            `json:"worker_key"`
	Key       string            `json:"key"`
	Chain     []json.RawMessage `json:"chain"`
	Epoch     Epoch             `json:"epoch"`
	Shard     int               `json:"shard"`
	Session   hexBytes          `json:"session"`
	E         hexBytes          `json:"e"`
	Suite     string            `json:"suite"`
	Init      hexBytes          `json:"init"`
}

type noticePayload struct {
	V         int      `json:"v"`
	Namespace string   `json:"namespace"`
	Epoch     Epoch    `json:"epoch"`
	Shard     int      `json:"shard"`
	Session   hexBytes `json:"session"`
}

// An openSession is a session with a coordinator, and the one before it while that is still read.
type openSession struct {
	epoch       Epoch
	session     *session
	heard       time.Duration
	former      *session
	formerUntil time.Duration
}

type handshake struct {
	ephemeral *ecdh.PrivateKey
	frame     []byte
	to        ed25519.PublicKey
	began     time.Duration
	wanted    *Epoch
}

type budget struct {
	began time.Duration
	count int
}

func (b *budget) take(now time.Duration) bool {
	if now-b.began >= time.Second {
		*b = budget{began: now}
	}
	b.count++
	return b.count <= signaturesPerSecond
}

// sessions are those of a worker with the coordinators of its namespace.
type sessions struct {
	worker, own, namespace string
	key                    ed25519.PrivateKey
	pins                   []ed25519.PublicKey
	open                   []*openSession
	handshake              *handshake
	turn                   int
	due                    time.Duration
	askedAt                time.Duration
	unanswered             int
	wanted                 *Epoch
	accepts, notices       budget
}

func newSessions(worker string, identity *Identity) *sessions {
	return &sessions{
		worker: worker, namespace: identity.Namespace, key: identity.Key, pins: identity.CoordinatorKeys,
		own: keyID(identity.Key.Public().(ed25519.PublicKey)), askedAt: -retryInit,
	}
}

// linkUp asks for a session at once if there is none.
func (s *sessions) linkUp(now time.Duration) {
	if len(s.open) == 0 {
		s.due = now
	}
}

// tick ends what is over. It returns an init to send on the control lane, if one is due.
func (s *sessions) tick(now time.Duration) []byte {
	var worn *Epoch
	for _, one := range s.open {
		if one.former != nil && one.formerUntil <= now {
			one.former = nil
		}
	}
	if len(s.open) > 1 {
		s.open = slices.DeleteFunc(s.open, func(one *openSession) bool { return now-one.heard >= silence })
	}
	for _, one := range s.open {
		if one.session.isWorn(now) {
			worn = &one.epoch
		}
	}
	if s.handshake != nil && now-s.handshake.began >= handshakeTime {
		// Another key of the namespace is asked next. A notice may have been of a coordinator that is
		// gone.
		s.handshake, s.wanted = nil, nil
		s.turn++
		if len(s.open) > 0 && worn == nil {
			s.due = never
		}
	}
	if worn != nil && s.due == never {
		s.wanted, s.due = worn, s.earliest(now)
	}
	if s.due > now {
		return nil
	}
	s.unanswered++
	s.due = now + retryInit*time.Duration(min(s.unanswered, 4)) + jitter()
	s.askedAt = now
	if s.handshake == nil && s.begin(now) != nil {
		return nil
	}
	return s.handshake.frame
}

func (s *sessions) begin(now time.Duration) error {
	to := s.pins[s.turn%len(s.pins)]
	ephemeral, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	payload, err := encode(initPayload{
		1, s.namespace, keyID(to), s.worker, s.own, 0, ephemeral.PublicKey().Bytes(), []string{"TP1"},
	})
	if err != nil {
		return err
	}
	s.handshake = &handshake{ephemeral, signedFrame(kindInit, payload, s.key), to, now, s.wanted}
	return nil
}

func (s *sessions) earliest(now time.Duration) time.Duration { return max(now, s.askedAt+retryInit) }

func jitter() time.Duration { return mathrand.N(retryInit) }

// seal returns the frames of a document: one for each coordinator with a session.
func (s *sessions) seal(on lane, document []byte) ([][]byte, error) {
	var frames [][]byte
	for _, one := range s.open {
		frame, err := one.session.seal(on, document)
		if err != nil {
			return nil, err
		}
		frames = append(frames, frame)
	}
	return frames, nil
}

// read returns the document of a sealed frame, or true if the frame has opened a session.
func (s *sessions) read(now time.Duration, on lane, frame []byte) ([]byte, bool, error) {
	if len(frame) < headerBytes || !bytes.HasPrefix(frame, []byte("TPF1")) || frame[6] != 0 || frame[7] != 0 {
		return nil, false, errors.New("the frame is plain, or has no header")
	}
	kind := frameKind(frame[4])
	switch {
	case kind == kindSealed && lane(frame[5]) == on:
		id := binary.BigEndian.Uint64(frame[8:16])
		for _, one := range s.open {
			for _, candidate := range []*session{one.session, one.former} {
				if candidate != nil && candidate.id == id {
					document, err := candidate.open(on, frame)
					if err == nil {
						one.heard = now
					}
					return document, false, err
				}
			}
		}
		return nil, false, errors.New("the session of the frame is unknown")
	case kind == kindAccept && on == laneControl && s.accepts.take(now):
		err := s.accepted(now, frame)
		return nil, err == nil, err
	case kind == kindNotice && on == laneControl && s.notices.take(now):
		return nil, false, s.noticed(now, frame)
	}
	return nil, false, errors.New("the frame is of another lane, is for coordinators, or is one of too many")
}

func (s *sessions) noticed(now time.Duration, frame []byte) error {
	var notice noticePayload
	if err := readSigned(kindNotice, frame, &notice, s.pins...); err != nil {
		return err
	}
	if notice.V != 1 || notice.Namespace != s.namespace || notice.Shard != 0 {
		return errors.New("the notice is of another namespace")
	}
	for _, known := range s.open {
		if known.epoch.Instance != notice.Epoch.Instance {
			continue
		}
		id := binary.BigEndian.AppendUint64(nil, known.session.id)
		isLost := known.epoch == notice.Epoch && bytes.Equal(notice.Session, id)
		if !isLost && !notice.Epoch.isAfter(known.epoch) {
			return nil
		}
	}
	// A worker without a session takes any: the notice may be of a coordinator that is gone.
	var wanted *Epoch
	if len(s.open) > 0 {
		wanted = &notice.Epoch
	}
	if s.due == never || !same(s.wanted, wanted) {
		s.wanted = wanted
		if s.handshake != nil && !same(s.handshake.wanted, wanted) {
			s.handshake = nil
		}
		s.due = min(s.due, s.earliest(now)+jitter())
	}
	return nil
}

func same(one, other *Epoch) bool {
	return (one == nil) == (other == nil) && (one == nil || *one == *other)
}

func (s *sessions) accepted(now time.Duration, frame []byte) error {
	asked := s.handshake
	if asked == nil {
		return errors.New("the accept answers nothing")
	}
	var answer acceptPayload
	if err := readSigned(kindAccept, frame, &answer, asked.to); err != nil {
		return err
	}
	digest := sha256.Sum256(payloadOf(asked.frame))
	if answer.V != 1 || answer.Namespace != s.namespace || answer.Worker != s.worker ||
		answer.WorkerKey != s.own || answer.Key != keyID(asked.to) || len(answer.Chain) > 0 ||
		answer.Shard != 0 || answer.Suite != "TP1" || len(answer.Session) != 8 ||
		!bytes.Equal(answer.Init, digest[:]) {
		return errors.New("the accept is for another init")
	}
	epoch := answer.Epoch
	isWanted := asked.wanted == nil ||
		asked.wanted.Instance == epoch.Instance && !asked.wanted.isAfter(epoch)
	isPast := func(one *openSession) bool { return one.epoch.isAfter(epoch) }
	if !isWanted || slices.ContainsFunc(s.open, isPast) {
		return errors.New("the accept is of an earlier epoch")
	}
	shared, err := agree(asked.ephemeral, answer.E)
	if err != nil {
		return err
	}
	theirs := sha256.Sum256(payloadOf(frame))
	salt := sha256.Sum256(append(digest[:], theirs[:]...))
	keys, err := derive(shared, salt[:])
	if err != nil {
		return err
	}
	s.handshake, s.wanted, s.due, s.unanswered = nil, nil, never, 0
	s.add(now, epoch, &session{id: binary.BigEndian.Uint64(answer.Session), began: now, keys: keys})
	return nil
}

func (s *sessions) add(now time.Duration, epoch Epoch, opened *session) {
	added := &openSession{epoch: epoch, session: opened, heard: now}
	for _, one := range s.open {
		if one.epoch == epoch {
			added.former, added.formerUntil = one.session, now+formerTime
		}
	}
	s.open = slices.DeleteFunc(s.open, func(one *openSession) bool { return one.epoch.Instance == epoch.Instance })
	if len(s.open) > 1 {
		// One that takes over, and the one before it.
		byHeard := func(one, other *openSession) int { return int(one.heard - other.heard) }
		s.open = []*openSession{slices.MaxFunc(s.open, byHeard)}
	}
	s.open = append(s.open, added)
}
