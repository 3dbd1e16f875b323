package host

import (
	"fmt"
	"io"
	"log/slog"
)

const stars = "***"

// Secret is a text that prints as stars wherever it is printed: by fmt with
// any verb, in JSON, in YAML and in slog. It is a struct around a pointer
// because fmt calls no methods on unexported fields, and would print a string
// there as it is. The zero Secret is empty.
type Secret struct{ text *string }

// NewSecret makes text a Secret.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text itself, for the one place that needs it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Format implements [fmt.Formatter].
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, stars) }

// String implements [fmt.Stringer], for callers that ask without fmt.
func (Secret) String() string { return stars }

// MarshalText implements [encoding.TextMarshaler]: JSON and YAML use it.
func (Secret) MarshalText() ([]byte, error) { return []byte(stars), nil }

// LogValue implements [slog.LogValuer].
func (Secret) LogValue() slog.Value { return slog.StringValue(stars) }
