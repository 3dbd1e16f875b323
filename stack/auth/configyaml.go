package auth

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v2"
)

// configYAML is the file as written. yaml.v2, not strict, decides what it
// means, because it is docker_auth's parser: merges, duplicate keys, yes and
// no, 0x10 and dates as text come out the same. The types have docker_auth's
// shape for the same reason.
type configYAML struct {
	Server    section[serverYAML]   `yaml:"server"`
	Token     section[tokenYAML]    `yaml:"token"`
	Users     usersYAML             `yaml:"users"`
	MongoAuth section[mongoYAML]    `yaml:"mongo_auth"`
	ACL       []section[ruleYAML]   `yaml:"acl"`
	ACLMongo  section[mongoYAML]    `yaml:"acl_mongo"`
	Store     section[storeYAML]    `yaml:"store"`
	Audit     section[auditLogYAML] `yaml:"audit"`
}

type serverYAML struct {
	Addr                string                   `yaml:"addr"`
	Net                 string                   `yaml:"net"`
	PathPrefix          string                   `yaml:"path_prefix"`
	RealIPHeader        string                   `yaml:"real_ip_header"`
	RealIPPos           int                      `yaml:"real_ip_pos"`
	TrustedProxies      []string                 `yaml:"trusted_proxies"`
	Certificate         string                   `yaml:"certificate"`
	Key                 string                   `yaml:"key"`
	HSTS                bool                     `yaml:"hsts"`
	TLSMinVersion       string                   `yaml:"tls_min_version"`
	TLSCurvePreferences []string                 `yaml:"tls_curve_preferences"`
	TLSCipherSuites     []string                 `yaml:"tls_cipher_suites"`
	LetsEncrypt         section[letsEncryptYAML] `yaml:"letsencrypt"`
	MetricsAddr         string                   `yaml:"metrics_addr"`
	AdminSocket         string                   `yaml:"admin_socket"`
}

type letsEncryptYAML struct {
	Email    string `yaml:"email"`
	Host     string `yaml:"host"`
	CacheDir string `yaml:"cache_dir"`
}

type tokenYAML struct {
	Issuer             string            `yaml:"issuer"`
	Expiration         int64             `yaml:"expiration"` // seconds
	Certificate        string            `yaml:"certificate"`
	Key                string            `yaml:"key"`
	DisableLegacyKeyID bool              `yaml:"disable_legacy_key_id"`
	X5C                *bool             `yaml:"x5c"`
	SigningCA          *section[keyYAML] `yaml:"signing_ca"`
	Refresh            bool              `yaml:"refresh"`
	RefreshExpiration  *string           `yaml:"refresh_expiration"`
}

type keyYAML struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
}

type userYAML struct {
	Password  *string             `yaml:"password"`
	Labels    map[string][]string `yaml:"labels"`
	Disabled  *bool               `yaml:"disabled"`
	NotBefore *string             `yaml:"not_before"`
	Expires   *string             `yaml:"expires"`
}

type ruleYAML struct {
	Match     *section[matchYAML] `yaml:"match"`
	Actions   []string            `yaml:"actions"`
	Comment   string              `yaml:"comment"`
	NotBefore *string             `yaml:"not_before"`
	Expires   *string             `yaml:"expires"`
}

type matchYAML struct {
	Account *string           `yaml:"account"`
	Type    *string           `yaml:"type"`
	Name    *string           `yaml:"name"`
	Service *string           `yaml:"service"`
	IP      *string           `yaml:"ip"`
	Labels  map[string]string `yaml:"labels"`
}

type storeYAML struct {
	Path string `yaml:"path"`
}

type auditLogYAML struct {
	File string `yaml:"file"`
}

// section is a mapping whose written keys are remembered, known or not.
type section[T any] struct {
	v    T
	keys map[string]given
}

// given is true for a value that is written, and not null or blank, for which
// yaml.v2 does not call UnmarshalYAML.
type given bool

// UnmarshalYAML looks at no value, so that what is ignored cannot be wrong.
func (g *given) UnmarshalYAML(func(any) error) error {
	*g = true
	return nil
}

func (s *section[T]) UnmarshalYAML(unmarshal func(any) error) error {
	if err := unmarshal(&s.v); err != nil {
		return err
	}
	return unmarshal(&s.keys)
}

// known returns the keys that the section may have.
func (s *section[T]) known() []string {
	var keys []string
	for f := range reflect.TypeFor[T]().Fields() {
		keys = append(keys, f.Tag.Get("yaml"))
	}
	return keys
}

// blank returns the known keys that are written with no value.
func (s *section[T]) blank() []string {
	return slices.DeleteFunc(s.known(), func(key string) bool {
		g, written := s.keys[key]
		return !written || bool(g)
	})
}

// unknown returns the keys that mean nothing, sorted.
func (s *section[T]) unknown() []string {
	known := s.known()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.keys)), func(key string) bool {
		return slices.Contains(known, key)
	})
}

// usersYAML is the users section; nil entries mean that it is not there.
type usersYAML struct {
	entries map[string]*section[userYAML]
	null    bool // a name is null, which becomes ""
}

func (u *usersYAML) UnmarshalYAML(unmarshal func(any) error) error {
	if err := unmarshal(&u.entries); err != nil {
		return err
	}
	var names map[any]given
	err := unmarshal(&names)
	if _, null := names[nil]; null {
		u.null = true
	}
	return err
}

// The forms of yaml's messages.
var (
	yamlLine = regexp.MustCompile(`(?s)^line (\d+): (.*)$`)
	yamlType = regexp.MustCompile(`(?s)^(cannot unmarshal \S+)(.*) into (\S+)$`)
)

// parseConfig decodes the first document of the file. An error names the line
// if yaml does.
func parseConfig(path string, data []byte) (*section[configYAML], error) {
	var file section[configYAML]
	err := yaml.Unmarshal(data, &file)
	if err == nil {
		return &file, nil
	}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if many, ok := errors.AsType[*yaml.TypeError](err); ok {
		text = many.Errors[0]
	}
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ := strconv.Atoi(m[1])
		if strings.HasPrefix(m[2], "did not find expected") {
			line++ // yaml's parser, unlike its scanner and decoder, counts from 0
		}
		return nil, fmt.Errorf("%s:%d: %s", path, line, plainTypes(m[2]))
	}
	return nil, fmt.Errorf("%s: %s", path, text)
}

// plainTypes names YAML's types where yaml names ours, and drops the quoted
// value unless a number or boolean was expected: it may be a secret.
func plainTypes(text string) string {
	m := yamlType.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	what, value, target := m[1], m[2], m[3]
	switch {
	case target == "int" || target == "int64" || target == "bool":
		return what + value + " into " + target
	case strings.HasPrefix(target, "[]auth."):
		target = "a list"
	case strings.Contains(target, "auth."):
		target = "a mapping"
	}
	return what + " into " + target
}
