package tinpot

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// An Identity is that of a worker that has joined.
type Identity struct {
	Key             ed25519.PrivateKey
	Name, Namespace string
	// CoordinatorKeys are the public keys of the namespace.
	CoordinatorKeys []ed25519.PublicKey
	Broker          string
	// User and Password are the login at the broker; empty if it has none.
	User, Password string
}

// A JoinRefused is the reason for which a coordinator does not enrol a key.
type JoinRefused struct {
	Why   string `json:"why"`
	Names string `json:"names"`
}

func (r *JoinRefused) Error() string {
	if r.Names != "" {
		return fmt.Sprintf("the coordinator refuses the join: the token is for workers named %q", r.Names)
	}
	return "the coordinator refuses the join: " + r.Why
}

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// parseToken reads the text of a join token: a seed, and the public key of the namespace.
func parseToken(text string) (seed, coordinator []byte, err error) {
	err = errors.New("the join token is incomplete or has a typing error")
	if len(text) != 96 || !strings.HasPrefix(text, "tpj_") {
		return nil, nil, err
	}
	number, checksum := fromBase62(text[4:90]), fromBase62(text[90:])
	if number == nil || checksum == nil || number.BitLen() > 512 ||
		checksum.Cmp(big.NewInt(int64(crc32.ChecksumIEEE([]byte(text[:90]))))) != 0 {
		return nil, nil, err
	}
	both := number.FillBytes(make([]byte, 64))
	return both[:32], both[32:], nil
}

func fromBase62(digits string) *big.Int {
	number := new(big.Int)
	for _, digit := range []byte(digits) {
		value := strings.IndexByte(base62, digit)
		if value < 0 {
			return nil
		}
		number.Add(number.Mul(number, big.NewInt(62)), big.NewInt(int64(value)))
	}
	return number
}

// LoadIdentity reads worker.key, and worker.toml next to it, as "tinpot worker join" writes them.
func LoadIdentity(path string) (*Identity, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s has no key in PEM form", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, isEd25519 := parsed.(ed25519.PrivateKey)
	if err != nil || !isEd25519 {
		return nil, fmt.Errorf("%s has no Ed25519 key: %w", path, err)
	}
	text, err = os.ReadFile(tomlOf(path))
	if err != nil {
		return nil, err
	}
	identity := &Identity{Key: key}
	var pins []string
	fields := map[string]any{
		"name": &identity.Name, "namespace": &identity.Namespace, "coordinator_keys": &pins,
		"broker": &identity.Broker, "broker_user": &identity.User, "broker_password": &identity.Password,
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, " = ")
		if field := fields[name]; field != nil {
			// The file has plain texts and lists of them only, whose forms are the same in JSON.
			if err := json.Unmarshal([]byte(value), field); err != nil {
				return nil, fmt.Errorf("%s: %s cannot be read: %w", tomlOf(path), name, err)
			}
		}
	}
	identity.CoordinatorKeys, err = readPins(pins)
	return identity, err
}

func readPins(texts []string) ([]ed25519.PublicKey, error) {
	var pins []ed25519.PublicKey
	for _, text := range texts {
		pin, err := hex.DecodeString(text)
		if err != nil || len(pin) != ed25519.PublicKeySize {
			return nil, errors.New("coordinator_keys must be public keys of 64 hexadecimal digits")
		}
		pins = append(pins, pin)
	}
	if len(pins) == 0 || len(pins) > 2 {
		return nil, fmt.Errorf("coordinator_keys must be one or two keys (got %d)", len(pins))
	}
	return pins, nil
}

func tomlOf(path string) string { return strings.TrimSuffix(path, ".key") + ".toml" }

// Save writes both files, which only their owner can read.
func (i *Identity) Save(path string) error {
	der, err := x509.MarshalPKCS8PrivateKey(i.Key)
	if err != nil {
		return err
	}
	var toml strings.Builder
	pins := []string{}
	for _, pin := range i.CoordinatorKeys {
		pins = append(pins, hex.EncodeToString(pin))
	}
	for _, fact := range []struct {
		name  string
		value any
	}{
		{"key", keyID(i.Key.Public().(ed25519.PublicKey))}, {"name", i.Name}, {"namespace", i.Namespace},
		{"coordinator_keys", pins}, {"broker", i.Broker},
		{"broker_user", i.User}, {"broker_password", i.Password},
	} {
		if fact.value != "" {
			value, err := encode(fact.value)
			if err != nil {
				return err
			}
			fmt.Fprintf(&toml, "%s = %s\n", fact.name, value)
		}
	}
	if err := writePrivate(tomlOf(path), []byte(toml.String())); err != nil {
		return err
	}
	return writePrivate(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func writePrivate(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Close())
}

type joinPayload struct {
	V         int      `json:"v"`
	Namespace string   `json:"namespace"`
	Token     string   `json:"token"`
	Key       hexBytes `json:"key"`
	E         hexBytes `json:"e"`
	Name      string   `json:"name"`
	Version   string   `json:"version"`
}

type joinedPayload struct {
	V         int      `json:"v"`
	Namespace string   `json:"namespace"`
	Key       string   `json:"key"`
	Join      hexBytes `json:"join"`
	Enrolled  *struct {
		Name            string   `json:"name"`
		CoordinatorKeys []string `json:"coordinator_keys"`
		E               hexBytes `json:"e"`
		Broker          hexBytes `json:"broker"`
	} `json:"enrolled"`
	Refused *JoinRefused `json:"refused"`
}

// A joinRequest asks for the enrolment of a key.
type joinRequest struct {
	key             ed25519.PrivateKey
	coordinator     ed25519.PublicKey
	ephemeral       *ecdh.PrivateKey
	name, namespace string
	joiner          string
	digest          [32]byte
	frame           []byte
}

func newJoinRequest(token string, key ed25519.PrivateKey, namespace, name string) (*joinRequest, error) {
	seed, coordinator, err := parseToken(strings.TrimSpace(token))
	if err != nil {
		return nil, err
	}
	ephemeral, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, public := ed25519.NewKeyFromSeed(seed), key.Public().(ed25519.PublicKey)
	payload, err := encode(joinPayload{
		1, namespace, keyID(signer.Public().(ed25519.PublicKey)), hexBytes(public),
		ephemeral.PublicKey().Bytes(), name, Version,
	})
	return &joinRequest{
		key, coordinator, ephemeral, name, namespace, keyID(public), sha256.Sum256(payload),
		signedFrame(kindJoin, payload, signer, key),
	}, err
}

// answer reads an answer: nil and no error if the frame is none.
func (r *joinRequest) answer(frame []byte) (*Identity, error) {
	var answer joinedPayload
	err := readSigned(kindJoined, frame, &answer, r.coordinator)
	if err != nil || answer.V != 1 || answer.Namespace != r.namespace || answer.Key != r.joiner ||
		!bytes.Equal(answer.Join, r.digest[:]) {
		return nil, nil
	}
	if answer.Refused != nil {
		return nil, answer.Refused
	}
	enrolled := answer.Enrolled
	if enrolled == nil || enrolled.Name != r.name {
		return nil, errors.New("the answer enrols no worker of this name")
	}
	pins, err := readPins(enrolled.CoordinatorKeys)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(pins, func(pin ed25519.PublicKey) bool { return pin.Equal(r.coordinator) }) {
		return nil, errors.New("the answer does not name the coordinator of the token")
	}
	identity := &Identity{Key: r.key, Name: r.name, Namespace: r.namespace, CoordinatorKeys: pins}
	if enrolled.Broker != nil {
		shared, err := agree(r.ephemeral, enrolled.E)
		if err != nil {
			return nil, err
		}
		identity.User, identity.Password, err = openLogin(shared, r.digest[:], enrolled.E, enrolled.Broker)
		if err != nil {
			return nil, err
		}
	}
	return identity, nil
}

// openLogin returns the login at the broker, which an answer has sealed.
func openLogin(shared, join, theirs, sealed []byte) (user, password string, err error) {
	salt := sha256.Sum256(slices.Concat([]byte("tinpot/1 join\x00"), join, theirs))
	keys, err := derive(shared, salt[:])
	if err != nil {
		return "", "", err
	}
	text, err := open(keys[2], header(kindJoined, laneControl, 0, 0), sealed, 1)
	if err != nil {
		return "", "", err
	}
	var login struct {
		User     string `json:"user"`
		Password string `json:"password"`
	}
	err = json.Unmarshal(text, &login)
	return login.User, login.Password, err
}

// Join has a new key enrolled with a join token. It returns a *JoinRefused if the coordinator refuses,
// and the error of the context if none answers. Save the identity: the token may be used up.
func Join(ctx context.Context, broker, token, namespace, name string) (*Identity, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	request, err := newJoinRequest(token, key, namespace, name)
	if err != nil {
		return nil, err
	}
	login := url.UserPassword("join", "")
	frames := make(chan []byte, 16)
	base := namespace + "/join/" + request.joiner
	link, err := connect(ctx, broker, login, request.joiner+"-control", []string{base + "/down"}, frames, func() {})
	if err != nil {
		return nil, err
	}
	defer link.close()
	repeat := time.NewTicker(time.Second)
	defer repeat.Stop()
	for {
		link.publish(base+"/up", request.frame)
		for wait := true; wait; {
			select {
			case frame := <-frames:
				if identity, err := request.answer(frame); identity != nil || err != nil {
					if identity != nil {
						identity.Broker = broker
					}
					return identity, err
				}
			case <-repeat.C:
				wait = false
			case <-link.ups:
				wait = false
			case <-ctx.Done():
				return nil, fmt.Errorf("no coordinator answered the join: %w", ctx.Err())
			}
		}
	}
}
