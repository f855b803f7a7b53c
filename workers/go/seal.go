package tinpot

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// Lanes are the two ways of frames.
type lane byte

const (
	laneControl lane = iota
	laneLogs
)

func (l lane) String() string { return [...]string{"control", "logs"}[l] }

type frameKind byte

const (
	kindSealed frameKind = iota
	kindInit
	kindAccept
	kindNotice
	kindJoin
	kindJoined
)

func (k frameKind) String() string {
	return [...]string{"sealed", "init", "accept", "notice", "join", "joined"}[k]
}

const (
	headerBytes    = 24
	payloadMax     = 4096
	windowCounters = 4096
	// wornFrames on a lane are the reason for new keys.
	wornFrames = 1 << 40
)

func header(kind frameKind, on lane, session, counter uint64) []byte {
	head := append(make([]byte, 0, 64), "TPF1"...)
	head = append(head, byte(kind), byte(on), 0, 0)
	head = binary.BigEndian.AppendUint64(head, session)
	return binary.BigEndian.AppendUint64(head, counter)
}

// keyID returns the id of a public key.
func keyID(public ed25519.PublicKey) string {
	digest := sha256.Sum256(public)
	return hex.EncodeToString(digest[:16])
}

func signedText(kind frameKind, payload []byte) []byte {
	return slices.Concat([]byte("tinpot/1 "+kind.String()+"\x00"), payload)
}

// signedFrame returns a frame that is signed by each of the keys.
func signedFrame(kind frameKind, payload []byte, keys ...ed25519.PrivateKey) []byte {
	frame, text := header(kind, laneControl, 0, 0), signedText(kind, payload)
	for _, key := range keys {
		frame = append(frame, ed25519.Sign(key, text)...)
	}
	return append(frame, payload...)
}

func payloadOf(frame []byte) []byte { return frame[headerBytes+ed25519.SignatureSize:] }

// readSigned reads the payload of a frame that one of the keys has signed.
func readSigned(kind frameKind, frame []byte, into any, keys ...ed25519.PublicKey) error {
	if len(frame) < headerBytes+ed25519.SignatureSize ||
		!bytes.Equal(frame[:headerBytes], header(kind, laneControl, 0, 0)) {
		return fmt.Errorf("the frame is not of kind %s", kind)
	}
	payload, signature := payloadOf(frame), frame[headerBytes:headerBytes+ed25519.SignatureSize]
	isBy := func(key ed25519.PublicKey) bool { return ed25519.Verify(key, signedText(kind, payload), signature) }
	if len(payload) > payloadMax || !slices.ContainsFunc(keys, isBy) {
		return errors.New("the payload is too long, or the signature is wrong")
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(payload, into)
}

// hexBytes travel as lower-case hexadecimal digits.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	if !bytes.Equal(text, bytes.ToLower(text)) {
		return errors.New("lower-case hexadecimal digits are expected")
	}
	*h, err = hex.DecodeString(string(text))
	return err
}

// agree returns the secret of both sides. It fails if the secret is all zero.
func agree(own *ecdh.PrivateKey, theirs []byte) ([]byte, error) {
	public, err := ecdh.X25519().NewPublicKey(theirs)
	if err != nil {
		return nil, err
	}
	return own.ECDH(public)
}

// derive returns four keys: up control, up logs, down control, down logs.
func derive(shared, salt []byte) ([4][]byte, error) {
	all, err := hkdf.Key(sha256.New, shared, salt, "tinpot/1 TP1 keys", 128)
	if err != nil {
		return [4][]byte{}, err
	}
	return [4][]byte{all[:32], all[32:64], all[64:96], all[96:]}, nil
}

func nonce(counter uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 4, 12), counter) }

// seal appends the sealed body to a header.
func seal(key, head, body []byte, counter uint64) ([]byte, error) {
	cipher, err := chacha20poly1305.New(key)
	if err != nil {
		return nil, err
	}
	return cipher.Seal(head[:len(head):len(head)], nonce(counter), body, head), nil
}

func open(key, head, body []byte, counter uint64) ([]byte, error) {
	cipher, err := chacha20poly1305.New(key)
	if err != nil {
		return nil, err
	}
	return cipher.Open(nil, nonce(counter), body, head)
}

// A window has the counters that were seen: the highest one, and the ones below it.
type window struct {
	highest uint64
	seen    [windowCounters/64 + 1]uint64
}

func (w *window) bit(counter uint64) (*uint64, uint64) {
	return &w.seen[counter/64%uint64(len(w.seen))], 1 << (counter % 64)
}

// isFresh returns true if a frame with this counter is new, as far as the window reaches.
func (w *window) isFresh(counter uint64) bool {
	if counter > w.highest {
		return true
	}
	word, bit := w.bit(counter)
	return counter > 0 && w.highest-counter <= windowCounters && *word&bit == 0
}

// note notes the counter of a frame that was opened, and is fresh.
func (w *window) note(counter uint64) {
	if counter > w.highest {
		words := uint64(len(w.seen))
		first := w.highest/64 + 1
		if last := counter / 64; last >= words && first < last-words+1 {
			first = last - words + 1
		}
		for word := first; word <= counter/64; word++ {
			w.seen[word%words] = 0
		}
		w.highest = counter
	}
	word, bit := w.bit(counter)
	*word |= bit
}

// A session is the worker's end of a session.
type session struct {
	id       uint64
	began    time.Duration
	keys     [4][]byte
	sent     [2]uint64
	received [2]window
}

func (s *session) isWorn(now time.Duration) bool {
	frames := max(s.sent[0], s.sent[1], s.received[0].highest, s.received[1].highest)
	return now-s.began >= 24*time.Hour || frames >= wornFrames
}

func (s *session) seal(on lane, document []byte) ([]byte, error) {
	s.sent[on]++
	return seal(s.keys[on], header(kindSealed, on, s.id, s.sent[on]), document, s.sent[on])
}

// open returns the document of a frame that arrived on a lane.
func (s *session) open(on lane, frame []byte) ([]byte, error) {
	counter := binary.BigEndian.Uint64(frame[16:headerBytes])
	if !s.received[on].isFresh(counter) {
		return nil, errors.New("a frame arrived twice, or too late")
	}
	document, err := open(s.keys[2+on], frame[:headerBytes], frame[headerBytes:], counter)
	if err != nil {
		return nil, errors.New("a frame is forged")
	}
	s.received[on].note(counter)
	return document, nil
}
