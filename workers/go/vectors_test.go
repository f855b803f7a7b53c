package tinpot

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"
)

func load(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "protocol", "vectors", name))
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

type step struct {
	At      int64                      `json:"at"`
	LinkUp  bool                       `json:"link_up"`
	Receive map[string]json.RawMessage `json:"receive"`
	Finish  *struct {
		Fence   Fence           `json:"fence"`
		Outcome json.RawMessage `json:"outcome"`
	} `json:"finish"`
	Drain  *int64          `json:"drain"`
	Sends  json.RawMessage `json:"sends"`
	Starts []string        `json:"starts"`
	Stops  [][]any         `json:"stops"`
	Write  []string        `json:"write"`
	Ack    json.RawMessage `json:"ack"`
}

type scene struct {
	Name  string
	Steps []step
}

// A recorder is a host that notes what it is asked for.
type recorder struct {
	sends  []any
	starts []string
	stops  [][]any
}

func (r *recorder) send(one message)        { r.sends = append(r.sends, one) }
func (r *recorder) start(request *dispatch) { r.starts = append(r.starts, request.Fence.String()) }
func (r *recorder) stop(fence Fence, reason stopReason, grace time.Duration) {
	r.stops = append(r.stops, []any{fence.String(), string(reason), float64(grace.Milliseconds())})
}
func (r *recorder) forget(Fence)    {}
func (r *recorder) drainRequested() {}

// has returns true if every field of expected is in found. Lists have the same length.
func has(found, expected any) bool {
	switch expected := expected.(type) {
	case map[string]any:
		fields, is := found.(map[string]any)
		for name, value := range expected {
			is = is && has(fields[name], value)
		}
		return is
	case []any:
		items, is := found.([]any)
		is = is && len(items) == len(expected)
		for place := range expected {
			is = is && has(items[place], expected[place])
		}
		return is
	}
	return reflect.DeepEqual(found, expected)
}

func plain(t *testing.T, value any) any {
	t.Helper()
	text, err := encode(value)
	var read any
	if err == nil {
		err = json.Unmarshal(text, &read)
	}
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func TestTheMachinePlaysEveryScene(t *testing.T) {
	var vectors struct {
		Worker struct {
			ID, Name string
			Slots    int
			Actions  []string
		}
		Scenes []scene
	}
	load(t, "scenes-1.json", &vectors)
	for _, scene := range vectors.Scenes {
		t.Run(scene.Name, func(t *testing.T) {
			about := profile{id: vectors.Worker.ID, name: vectors.Worker.Name, slots: vectors.Worker.Slots}
			for _, name := range vectors.Worker.Actions {
				about.offer.Actions = append(about.offer.Actions, offered{Name: name})
			}
			noted := &recorder{}
			machine := newMachine(about, noted)
			for _, step := range scene.Steps {
				now := time.Duration(step.At) * time.Millisecond
				switch {
				case step.LinkUp:
					machine.linkUp(now)
				case step.Receive != nil:
					for kind, body := range step.Receive {
						if err := machine.receive(now, kind, body); err != nil {
							t.Fatal(err)
						}
					}
				case step.Finish != nil:
					machine.finished(now, step.Finish.Fence, step.Finish.Outcome, 0, false)
				case step.Drain != nil:
					machine.drain(now, time.Duration(*step.Drain)*time.Millisecond)
				default:
					machine.tick(now)
				}
				expected := []any{}
				if step.Sends != nil {
					expected = plain(t, step.Sends).([]any)
				}
				if sent := plain(t, append([]any{}, noted.sends...)); !has(sent, expected) {
					t.Fatalf("at %d: sent %v, expected %v", step.At, sent, expected)
				}
				if !slices.Equal(noted.starts, step.Starts) || len(noted.stops) != len(step.Stops) ||
					len(step.Stops) > 0 && !reflect.DeepEqual(noted.stops, step.Stops) {
					t.Fatalf("at %d: %v, %v; expected %v, %v", step.At, noted.starts, noted.stops, step.Starts, step.Stops)
				}
				*noted = recorder{}
			}
		})
	}
}

func TestALogPlaysEveryScene(t *testing.T) {
	var vectors struct{ Scenes []scene }
	load(t, "logs-1.json", &vectors)
	for _, scene := range vectors.Scenes {
		t.Run(scene.Name, func(t *testing.T) {
			log := &attemptLog{wake: func() {}}
			for _, step := range scene.Steps {
				now := time.Duration(step.At) * time.Millisecond
				for _, line := range step.Write {
					log.write(line, "stdout", "info", nil)
				}
				if step.Ack != nil {
					seq, err := strconv.ParseUint(string(bytes.Trim(step.Ack, `"`)), 10, 64)
					if err != nil {
						t.Fatal(err)
					}
					log.acknowledged(now, seq)
				}
				var sent, expected []uint64
				for _, one := range log.due(now) {
					chunk := one["log"].(*chunk)
					for number := chunk.FirstSeq; number <= chunk.lastSeq(); number++ {
						sent = append(sent, number)
					}
				}
				if step.Sends != nil && json.Unmarshal(step.Sends, &expected) != nil || !slices.Equal(sent, expected) {
					t.Fatalf("at %d: sent %v, expected %s", step.At, sent, step.Sends)
				}
			}
		})
	}
}

func TestFencesAreReadAndOrdered(t *testing.T) {
	var vectors struct {
		Valid   []struct{ Text, Instance, Epoch, Number string }
		Invalid []string
		Order   []Fence
	}
	load(t, "fences-1.json", &vectors)
	for _, entry := range vectors.Valid {
		fence, err := ParseFence(entry.Text)
		numbers := []uint64{uint64(fence.Epoch.Instance), uint64(fence.Epoch.Number), fence.Number}
		for place, text := range []string{entry.Instance, entry.Epoch, entry.Number} {
			if strconv.FormatUint(numbers[place], 10) != text {
				t.Errorf("%s is read as %v", entry.Text, numbers)
			}
		}
		if err != nil || fence.String() != entry.Text {
			t.Errorf("%s is read as %s: %v", entry.Text, fence, err)
		}
	}
	for _, text := range vectors.Invalid {
		if fence, err := ParseFence(text); err == nil {
			t.Errorf("%q is read as %s", text, fence)
		}
	}
	if !slices.IsSortedFunc(vectors.Order, Fence.Compare) {
		t.Error("fences are not ordered")
	}
}

func TestJoinTokensAreRead(t *testing.T) {
	var vectors struct {
		Valid []struct {
			Text              string
			Seed, Coordinator hexBytes
		}
		Invalid []string
	}
	load(t, "tokens-1.json", &vectors)
	for _, entry := range vectors.Valid {
		seed, coordinator, err := parseToken(entry.Text)
		if err != nil || !bytes.Equal(seed, entry.Seed) || !bytes.Equal(coordinator, entry.Coordinator) {
			t.Errorf("%s is read as %x, %x: %v", entry.Text, seed, coordinator, err)
		}
	}
	for _, text := range vectors.Invalid {
		if _, _, err := parseToken(text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

func kindNamed(name string) frameKind {
	for kind := kindSealed; kind <= kindJoined; kind++ {
		if kind.String() == name {
			return kind
		}
	}
	panic(name)
}

func TestFramesAreMadeAndRead(t *testing.T) {
	var vectors struct {
		Keys []struct {
			Seed, Public hexBytes
			ID           string
		}
		Signed []struct {
			Seed, Frame   hexBytes
			Kind, Payload string
		}
		Joins []struct {
			TokenSeed hexBytes `json:"token_seed"`
			KeySeed   hexBytes `json:"key_seed"`
			Frame     hexBytes
			Payload   string
		}
		Login struct {
			Shared, E, Broker hexBytes
			Login             string
		}
		Session struct {
			Shared       hexBytes
			Init, Accept string
			UpControl    hexBytes `json:"up_control"`
			UpLogs       hexBytes `json:"up_logs"`
			DownControl  hexBytes `json:"down_control"`
			DownLogs     hexBytes `json:"down_logs"`
		}
		Sealed []struct {
			Key, Document string
			Lane          lane
			Frame         hexBytes
		}
		Refused []struct {
			Key, Kind, Why string
			Lane           lane
			Frame, Public  hexBytes
		}
	}
	load(t, "frames-1.json", &vectors)
	for _, entry := range vectors.Keys {
		public := ed25519.NewKeyFromSeed(entry.Seed).Public().(ed25519.PublicKey)
		if !bytes.Equal(public, entry.Public) || keyID(public) != entry.ID {
			t.Errorf("key %s has id %s", entry.ID, keyID(public))
		}
	}
	for _, entry := range vectors.Signed {
		key := ed25519.NewKeyFromSeed(entry.Seed)
		frame := signedFrame(kindNamed(entry.Kind), []byte(entry.Payload), key)
		err := readSigned(kindNamed(entry.Kind), frame, nil, key.Public().(ed25519.PublicKey))
		if !bytes.Equal(frame, entry.Frame) || err != nil {
			t.Errorf("a frame of kind %s differs: %v", entry.Kind, err)
		}
	}
	for _, entry := range vectors.Joins {
		token, key := ed25519.NewKeyFromSeed(entry.TokenSeed), ed25519.NewKeyFromSeed(entry.KeySeed)
		if !bytes.Equal(signedFrame(kindJoin, []byte(entry.Payload), token, key), entry.Frame) {
			t.Error("a join differs")
		}
	}
	join := sha256.Sum256([]byte(vectors.Joins[0].Payload))
	user, password, err := openLogin(vectors.Login.Shared, join[:], vectors.Login.E, vectors.Login.Broker)
	var login struct{ User, Password string }
	if json.Unmarshal([]byte(vectors.Login.Login), &login) != nil || err != nil || user != login.User || password != login.Password {
		t.Errorf("the login is %s: %v", user, err)
	}
	about := vectors.Session
	init, accept := sha256.Sum256([]byte(about.Init)), sha256.Sum256([]byte(about.Accept))
	salt := sha256.Sum256(append(init[:], accept[:]...))
	keys, err := derive(about.Shared, salt[:])
	names := map[string]int{"up_control": 0, "up_logs": 1, "down_control": 2, "down_logs": 3}
	for place, key := range [][]byte{about.UpControl, about.UpLogs, about.DownControl, about.DownLogs} {
		if !bytes.Equal(keys[place], key) || err != nil {
			t.Errorf("key %d is %s: %v", place, hex.EncodeToString(keys[place]), err)
		}
	}
	for _, entry := range vectors.Sealed {
		one := &session{id: binary.BigEndian.Uint64(entry.Frame[8:]), keys: keys}
		if names[entry.Key] < 2 {
			one.sent[entry.Lane] = binary.BigEndian.Uint64(entry.Frame[16:]) - 1
			frame, err := one.seal(entry.Lane, []byte(entry.Document))
			if !bytes.Equal(frame, entry.Frame) || err != nil {
				t.Errorf("a sealed frame differs: %v", err)
			}
			continue
		}
		document, err := one.open(entry.Lane, entry.Frame)
		if string(document) != entry.Document || err != nil {
			t.Errorf("a document differs: %v", err)
		}
		if _, err := one.open(entry.Lane, entry.Frame); err == nil {
			t.Error("a frame is opened twice")
		}
	}
	for _, entry := range vectors.Refused {
		if entry.Public != nil {
			err = readSigned(kindNamed(entry.Kind), entry.Frame, nil, ed25519.PublicKey(entry.Public))
		} else {
			key := keys[names[entry.Key]]
			opened := &session{id: binary.BigEndian.Uint64(entry.Frame[8:]), keys: [4][]byte{key, key, key, key}}
			all := &sessions{open: []*openSession{{session: opened}}}
			_, _, err = all.read(0, entry.Lane, entry.Frame)
		}
		if err == nil {
			t.Errorf("a frame is taken: %s", entry.Why)
		}
	}
}

func TestACounterCountsOnce(t *testing.T) {
	seen, one := map[uint64]bool{}, &window{}
	counter := uint64(1)
	for round := range uint64(50_000) {
		counter += round * 7919 % 200
		back := round * 104729 % (windowCounters + 200)
		now := max(counter, back+1) - back
		fresh := !seen[now] && (now > one.highest || one.highest-now <= windowCounters)
		if one.isFresh(now) != fresh {
			t.Fatalf("%d after %d is fresh: %v", now, one.highest, !fresh)
		}
		if fresh {
			one.note(now)
			seen[now] = true
		}
	}
}
