package provision

import (
	"fmt"
	"strings"

	"github.com/invopop/jsonschema"
	"go.yaml.in/yaml/v3"
)

// Images says what the containers are made of: our own twins of nginx and the
// registry ("builtin", so that nothing is pulled), or references, of which the
// empty ones are the defaults. In YAML it is a word or a map.
type Images struct {
	Builtin  bool
	Nginx    string
	Registry string
	Mongo    string
	MongoUI  string
}

// The words that [Images] may be.
const (
	imagesDefault = "default"
	imagesBuiltin = "builtin"
)

// image is one of the references that can be chosen.
type image struct {
	key string
	ref *string
}

func (i *Images) references() []image {
	return []image{{"nginx", &i.Nginx}, {"registry", &i.Registry}, {"mongo", &i.Mongo}, {"mongo_ui", &i.MongoUI}}
}

// set gives the image of that key its reference.
func (i *Images) set(key, ref string) error {
	for _, im := range i.references() {
		if im.key == key {
			*im.ref = ref
			return nil
		}
	}
	return fmt.Errorf("unknown image %q: want nginx, registry, mongo or mongo_ui", key)
}

// ParseImages reads "default", "builtin" or "nginx=REF,registry=REF", the form
// that [Images.String] returns.
func ParseImages(text string) (Images, error) {
	switch text {
	case imagesDefault, "":
		return Images{}, nil
	case imagesBuiltin:
		return Images{Builtin: true}, nil
	}
	var i Images
	for part := range strings.SplitSeq(text, ",") {
		key, ref, ok := strings.Cut(part, "=")
		if !ok || ref == "" {
			return Images{}, fmt.Errorf("%q: want %s, %s or nginx=REF,registry=REF", text, imagesDefault, imagesBuiltin)
		}
		if err := i.set(key, ref); err != nil {
			return Images{}, err
		}
	}
	return i, nil
}

// String is what [ParseImages] reads.
func (i Images) String() string {
	if i.Builtin {
		return imagesBuiltin
	}
	var parts []string
	for _, im := range i.references() {
		if *im.ref != "" {
			parts = append(parts, im.key+"="+*im.ref)
		}
	}
	if len(parts) == 0 {
		return imagesDefault
	}
	return strings.Join(parts, ",")
}

// IsZero lets the default images be left out of the file.
func (i Images) IsZero() bool { return i == Images{} }

// MarshalYAML implements [yaml.Marshaler].
func (i Images) MarshalYAML() (any, error) {
	if i.Builtin {
		return imagesBuiltin, nil
	}
	refs := map[string]string{}
	for _, im := range i.references() {
		if *im.ref != "" {
			refs[im.key] = *im.ref
		}
	}
	return refs, nil
}

// UnmarshalYAML implements [yaml.Unmarshaler]. It looks for unknown keys itself,
// because the decoder does not do so below an Unmarshaler.
func (i *Images) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode && (node.Value == imagesDefault || node.Value == imagesBuiltin) {
		*i = Images{Builtin: node.Value == imagesBuiltin}
		return nil
	}
	var refs map[string]yaml.Node
	if node.Kind != yaml.MappingNode || node.Decode(&refs) != nil {
		return fmt.Errorf("line %d: images: want %s, %s or a map of references", node.Line, imagesDefault, imagesBuiltin)
	}
	*i = Images{}
	for key, value := range refs {
		var ref string
		if err := value.Decode(&ref); err != nil {
			return fmt.Errorf("line %d: images: %s: want a reference", value.Line, key)
		}
		if err := i.set(key, ref); err != nil {
			return fmt.Errorf("line %d: images: %w", value.Line, err)
		}
	}
	return nil
}

// JSONSchema describes both forms.
func (i Images) JSONSchema() *jsonschema.Schema {
	refs := jsonschema.NewProperties()
	for _, im := range i.references() {
		refs.Set(im.key, &jsonschema.Schema{Type: "string"})
	}
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "string", Enum: []any{imagesDefault, imagesBuiltin}},
		{Type: "object", Properties: refs, AdditionalProperties: jsonschema.FalseSchema},
	}}
}
