package provision

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxConfig is the largest regctl.yaml, in bytes. A full one has about a thousand.
const maxConfig = 1 << 16

// ParseConfig reads regctl.yaml. Unknown keys are errors: a mistyped key would
// silently mean the default. Errors name the line. It does not check values;
// see [Config.Problems].
func ParseConfig(text []byte) (Config, error) {
	if len(text) > maxConfig {
		return Config{}, fmt.Errorf("the file has more than %d bytes", maxConfig)
	}
	// The version first: another one may have other keys.
	var any struct{ Version int }
	if yaml.Unmarshal(text, &any) == nil && any.Version != ConfigVersion && any.Version != 0 {
		return Config{}, fmt.Errorf("version: is %d; this regctl knows version %d", any.Version, ConfigVersion)
	}
	var c Config
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	switch err := d.Decode(&c); {
	case errors.Is(err, io.EOF):
		return Config{}, errors.New("the file is empty")
	case err != nil:
		return Config{}, readable(err)
	case c.Version != ConfigVersion:
		return Config{}, fmt.Errorf("version: is missing: write version: %d", ConfigVersion)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("the file has a second document: remove what comes after ---")
	}
	return c, nil
}

// readable returns an error of the YAML decoder without its Go types.
func readable(err error) error {
	wrong, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	texts := make([]string, len(wrong.Errors))
	for i, text := range wrong.Errors {
		text = regexp.MustCompile(`field (.*) not found in type .*`).ReplaceAllString(text, "unknown key $1")
		text = regexp.MustCompile(`(?s)cannot unmarshal .* into u?int\d*$`).ReplaceAllString(text, "want a number")
		text = regexp.MustCompile(`(?s)cannot unmarshal .* into bool$`).ReplaceAllString(text, "want true or false")
		text = regexp.MustCompile(`(?s)cannot unmarshal .* into string$`).ReplaceAllString(text, "want a text")
		texts[i] = regexp.MustCompile(`(?s)cannot unmarshal .* into provision\.\w+$`).ReplaceAllString(text, "want keys with values")
	}
	return errors.New(strings.Join(texts, "\n"))
}

// Encode is the file that [ParseConfig] reads.
func (c Config) Encode() []byte {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(c); err != nil {
		panic(err) // plain data
	}
	return b.Bytes()
}
