package provision

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// examples are the regctl.yaml files of the examples, by directory.
func examples(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../examples/*/regctl.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%v, found %d", err, len(files))
	}
	texts := map[string][]byte{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(filepath.Dir(file))] = text
	}
	return texts
}

func TestExamples(t *testing.T) {
	t.Parallel()
	for name, text := range examples(t) {
		c, err := ParseConfig(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, p := range slices.Concat(c.Problems(), c.Refused(), c.WithDefaults().Problems()) {
			t.Errorf("%s: %s", name, p)
		}
		again, err := ParseConfig(c.Encode())
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%s: read again: %v, %+v", name, err, again)
		}
		if !bytes.Equal(c.Encode(), text) {
			t.Errorf("%s: is written as\n%s", name, c.Encode())
		}
	}
}

// schema is that of regctl.yaml, compiled by another implementation.
func schema(t *testing.T) *validator.Schema {
	t.Helper()
	text, err := json.Marshal(ConfigSchema())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validator.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("regctl.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("regctl.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchema(t *testing.T) {
	t.Parallel()
	s := schema(t)
	validate := func(text []byte) error {
		var value any
		if err := yaml.Unmarshal(text, &value); err != nil {
			t.Fatal(err)
		}
		return s.Validate(value)
	}
	for name, text := range examples(t) {
		if err := validate(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	full, err := ParseConfig([]byte("version: 1\nhost: a.b\ntls: {mode: local}"))
	if err != nil {
		t.Fatal(err)
	}
	full = full.WithDefaults()
	full.Images.Nginx = "nginx:1.30"
	if err := validate(full.Encode()); err != nil {
		t.Errorf("with all defaults: %v", err)
	}
	for _, text := range []string{
		"version: 2\nhost: a.b\ntls: {mode: local}",
		"version: 1\ntls: {mode: local}",
		"version: 1\nhost: a.b",
		"version: 1\nhost: a.b\ntls: {mode: other}",
		"version: 1\nhost: a.b\ntls: {mode: local}\nhots: x",
		"version: 1\nhost: a.b\ntls: {mode: local, ciphers: x}",
		"version: 1\nhost: a.b\ntls: {mode: local}\nedge: {http_port: 65536}",
		"version: 1\nhost: a.b\ntls: {mode: local}\nimages: other",
		"version: 1\nhost: a.b\ntls: {mode: local}\nimages: {ngnix: x}",
	} {
		if validate([]byte(text)) == nil {
			t.Errorf("the schema accepts\n%s", text)
		}
	}
}

func TestParseConfig(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{
		{"", "the file is empty"},
		{"~", "version: is missing: write version: 1"},
		{"host: a", "version: is missing: write version: 1"},
		{"version: 2\nnew_key: 1", "version: is 2; this regctl knows version 1"},
		{"version: x", "line 1: want a number"},
		{"version: 1\nhots: a\nstore: [a]\ntls: 3\nedge: {http_port: a}\nmongo: {ui: 3}",
			"line 2: unknown key hots\nline 3: want a text\nline 4: want keys with values\nline 5: want a number\nline 6: want true or false"},
		{"version: 1\nhost: a\nhost: b", `line 3: mapping key "host" already defined at line 2`},
		{"version: 1\n\thost: a", "line 2: found a tab character that violates indentation"},
		{"version: 1\n---\nhost: a", "the file has a second document: remove what comes after ---"},
		{"version: 1\nimages: other", "line 2: images: want default, builtin or a map of references"},
		{"version: 1\nimages: [a]", "line 2: images: want default, builtin or a map of references"},
		{"version: 1\nimages:\n  ngnix: a", `line 3: images: unknown image "ngnix": want nginx, registry, mongo or mongo_ui`},
		{"version: 1\nimages:\n  nginx: [a]", "line 3: images: nginx: want a reference"},
		{strings.Repeat("#", maxConfig+1), "the file has more than 65536 bytes"},
	} {
		if _, err := ParseConfig([]byte(test.text)); err == nil || err.Error() != test.want {
			t.Errorf("%.60q:\n%v\nwant\n%s", test.text, err, test.want)
		}
	}
}

func TestImages(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		flag, yaml string
		want       Images
	}{
		{"default", "default", Images{}},
		{"", "~", Images{}},
		{"builtin", "builtin", Images{Builtin: true}},
		{"nginx=n:1,registry=r@sha256:x", "{nginx: 'n:1', registry: r@sha256:x}", Images{Nginx: "n:1", Registry: "r@sha256:x"}},
		{"mongo=m,mongo_ui=u", "{mongo: m, mongo_ui: u}", Images{Mongo: "m", MongoUI: "u"}},
	} {
		got, err := ParseImages(test.flag)
		if err != nil || got != test.want {
			t.Errorf("%q: %+v, %v", test.flag, got, err)
		}
		if again, err := ParseImages(got.String()); err != nil || again != got {
			t.Errorf("%q: as text %q: %+v, %v", test.flag, got, again, err)
		}
		c, err := ParseConfig([]byte("version: 1\nimages: " + test.yaml))
		if err != nil || c.Images != test.want {
			t.Errorf("%q: %+v, %v", test.yaml, c.Images, err)
		}
	}
	for _, text := range []string{"other", "nginx", "nginx=", "builtin,nginx=x", "ngnix=x", ","} {
		if got, err := ParseImages(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// FuzzParseConfig: nothing panics, and what is accepted is written so that it is
// read as the same.
func FuzzParseConfig(f *testing.F) {
	for _, text := range examples(f) {
		f.Add(text)
	}
	f.Add([]byte("version: 1\nhost: &a b\nemail: *a\nimages: {nginx: *a, <<: {registry: x}}\ntls: {hsts: false}\nedge: {http_port: -1}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseConfig(text)
		if err != nil {
			return
		}
		c.Problems()
		again, err := ParseConfig(c.Encode())
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%+v\nis written as\n%s\nand read as %+v, %v", c, c.Encode(), again, err)
		}
	})
}
