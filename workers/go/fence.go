package tinpot

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// An Epoch is one start of a coordinator on its store.
type Epoch struct {
	Instance, Number uint32
}

// A Fence is the identity of one attempt, and the right to report on it. A later attempt has a greater one.
type Fence struct {
	Epoch  Epoch
	Number uint64
}

func (e Epoch) String() string { return fmt.Sprintf("%x.%d", e.Instance, e.Number) }

func (f Fence) String() string { return fmt.Sprintf("%s.%d", f.Epoch, f.Number) }

// isAfter returns true if e is a later start on the same store.
func (e Epoch) isAfter(other Epoch) bool {
	return e.Instance == other.Instance && e.Number > other.Number
}

// Compare orders fences: by instance, epoch and number.
func (f Fence) Compare(other Fence) int {
	return cmp.Or(cmp.Compare(f.Epoch.Instance, other.Epoch.Instance),
		cmp.Compare(f.Epoch.Number, other.Epoch.Number), cmp.Compare(f.Number, other.Number))
}

// ParseEpoch reads instance.number, hexadecimal and decimal.
func ParseEpoch(text string) (Epoch, error) {
	instance, number, found := strings.Cut(text, ".")
	i, err := digits(instance, 16, 32)
	n, also := digits(number, 10, 32)
	if !found || err != nil || also != nil {
		return Epoch{}, fmt.Errorf("%q is not an epoch", text)
	}
	return Epoch{uint32(i), uint32(n)}, nil
}

// ParseFence reads instance.epoch.number.
func ParseFence(text string) (Fence, error) {
	dot := strings.LastIndexByte(text, '.')
	if dot < 0 {
		return Fence{}, fmt.Errorf("%q is not a fence", text)
	}
	epoch, err := ParseEpoch(text[:dot])
	number, also := digits(text[dot+1:], 10, 64)
	if err != nil || also != nil {
		return Fence{}, fmt.Errorf("%q is not a fence", text)
	}
	return Fence{epoch, number}, nil
}

// digits reads a number without a sign. The base of ParseUint is never 0, so there are no underscores.
func digits(text string, base, bits int) (uint64, error) { return strconv.ParseUint(text, base, bits) }

// MarshalText and UnmarshalText are the forms in messages.
func (e Epoch) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads an epoch.
func (e *Epoch) UnmarshalText(text []byte) (err error) {
	*e, err = ParseEpoch(string(text))
	return err
}

// MarshalText returns the form in messages.
func (f Fence) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads a fence.
func (f *Fence) UnmarshalText(text []byte) (err error) {
	*f, err = ParseFence(string(text))
	return err
}
