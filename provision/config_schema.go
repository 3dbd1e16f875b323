package provision

import (
	"strings"

	"github.com/invopop/jsonschema"
)

// ConfigSchema is the JSON schema of regctl.yaml.
func ConfigSchema() *jsonschema.Schema {
	r := jsonschema.Reflector{FieldNameTag: "yaml", DoNotReference: true, ExpandedStruct: true, Anonymous: true}
	s := r.Reflect(Config{})
	s.Title = "regctl.yaml, the settings of a regctl installation"
	return s
}

// Setting is the schema of one setting, "tls.mode"; nil if there is none of
// that key. It holds the setting's description and, as enum, its values.
func Setting(key string) *jsonschema.Schema {
	s := ConfigSchema()
	for name := range strings.SplitSeq(key, ".") {
		if s.Properties == nil {
			return nil
		}
		sub, ok := s.Properties.Get(name)
		if !ok {
			return nil
		}
		s = sub
	}
	return s
}

// Choices are the values that a setting may have; none if it is not one of
// choice.
func Choices(key string) []string {
	var choices []string
	for _, value := range Setting(key).Enum {
		if text, ok := value.(string); ok {
			choices = append(choices, text)
		}
	}
	return choices
}
