package provision

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// Config is regctl.yaml, the desired state of an installation. The wizard
// writes it and people edit it. Whatever is left out has a default, which
// [Config.WithDefaults] fills in.
type Config struct {
	Version int `yaml:"version" jsonschema:"enum=1,description=version of this file's format"`
	// Name is the compose project's, so that two installations on one engine
	// do not take each other's containers.
	Name  string `yaml:"name,omitempty" jsonschema:"description=name of the compose project"`
	Host  string `yaml:"host" jsonschema:"description=public name of the registry"`
	Email string `yaml:"email,omitempty" jsonschema:"description=where a certificate authority writes to"`

	Auth     AuthConfig     `yaml:"auth,omitempty"`
	TLS      TLSConfig      `yaml:"tls"`
	Edge     EdgeConfig     `yaml:"edge,omitempty"`
	Firewall FirewallConfig `yaml:"firewall,omitempty"`
	Store    string         `yaml:"store,omitempty" jsonschema:"enum=sqlite,enum=mongo,description=database of users and rules"`
	Mongo    MongoConfig    `yaml:"mongo,omitempty"`
	Images   Images         `yaml:"images,omitempty"`
	Admin    AdminConfig    `yaml:"admin,omitempty"`
}

// AuthConfig is about the token server.
type AuthConfig struct {
	Host string `yaml:"host,omitempty" jsonschema:"description=own public name of the token server; empty: the registry's"`
}

// TLSConfig says where the edge's certificate comes from and how it is used.
type TLSConfig struct {
	Mode     string `yaml:"mode" jsonschema:"enum=local,enum=files,enum=acme,description=who issues the certificate: a CA of this host alone / you / Let's Encrypt"`
	Cert     string `yaml:"cert,omitempty" jsonschema:"description=with mode files: certificate and chain (PEM)"`
	Key      string `yaml:"key,omitempty" jsonschema:"description=with mode files: private key (PEM)"`
	Profile  string `yaml:"profile,omitempty" jsonschema:"enum=intermediate,enum=modern,enum=compatible,description=which clients are served"`
	DHParams string `yaml:"dhparams,omitempty" jsonschema:"description=rfc7919 / own / own:2048 / own:3072 / own:4096 / path of a PEM file"`
	HSTS     *bool  `yaml:"hsts,omitempty" jsonschema:"description=tell browsers to use https only for two years"`
}

// EdgeConfig is about the only listener besides sshd.
type EdgeConfig struct {
	HTTPPort     int    `yaml:"http_port,omitempty" jsonschema:"minimum=1,maximum=65535"`
	HTTPSPort    int    `yaml:"https_port,omitempty" jsonschema:"minimum=1,maximum=65535"`
	NginxVersion string `yaml:"nginx_version,omitempty" jsonschema:"description=render for this version instead of the image's"`
}

// FirewallConfig is about the host's packet filter.
type FirewallConfig struct {
	Backend string `yaml:"backend,omitempty" jsonschema:"enum=auto,enum=ufw,enum=iptables,enum=none"`
}

// MongoConfig is about the database of store: mongo.
type MongoConfig struct {
	UI bool `yaml:"ui,omitempty" jsonschema:"description=run a web interface of the database on a loopback port"`
}

// AdminConfig is about the first account.
type AdminConfig struct {
	Name         string `yaml:"name,omitempty"`
	PasswordFile string `yaml:"password_file,omitempty" jsonschema:"description=first password; empty: one is made and kept in admin.password"`
}

// Images says what the containers are made of: our own twins of nginx and the
// registry ("builtin", so that nothing is pulled), or references, of which the
// empty ones are the defaults. In YAML it is a word or a map.
type Images struct {
	Builtin  bool   `yaml:"-"`
	Nginx    string `yaml:"nginx,omitempty"`
	Registry string `yaml:"registry,omitempty"`
	Mongo    string `yaml:"mongo,omitempty"`
	MongoUI  string `yaml:"mongo_ui,omitempty"`
}

// The words that [Images] may be.
const (
	imagesDefault = "default"
	imagesBuiltin = "builtin"
)

// IsZero lets the default images be left out of the file.
func (i Images) IsZero() bool { return i == Images{} }

// MarshalYAML implements [yaml.Marshaler].
func (i Images) MarshalYAML() (any, error) {
	if i.Builtin {
		return imagesBuiltin, nil
	}
	type plain Images
	return plain(i), nil
}

// UnmarshalYAML implements [yaml.Unmarshaler].
func (i *Images) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		switch node.Value {
		case imagesDefault:
			*i = Images{}
		case imagesBuiltin:
			*i = Images{Builtin: true}
		default:
			return fmt.Errorf("line %d: images: want %s, %s or a map of references", node.Line, imagesDefault, imagesBuiltin)
		}
		return nil
	}
	type plain Images
	return node.Decode((*plain)(i))
}

// ParseConfig reads regctl.yaml. Unknown keys are errors: a mistyped key would
// silently mean the default. It does not check values; see [Config.Problems].
func ParseConfig(text []byte) (Config, error) {
	var c Config
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file is empty")
		}
		return Config{}, err
	}
	if c.Version != configVersion {
		return Config{}, fmt.Errorf("version: is %d; this regctl knows version %d", c.Version, configVersion)
	}
	return c, nil
}

const configVersion = 1

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

// WithDefaults returns c with every empty setting that has a default set to it.
func (c Config) WithDefaults() Config {
	c.Version = cmp.Or(c.Version, configVersion)
	c.Name = cmp.Or(c.Name, "regctl")
	c.TLS.Profile = cmp.Or(c.TLS.Profile, "intermediate")
	c.TLS.DHParams = cmp.Or(c.TLS.DHParams, "own")
	if c.TLS.HSTS == nil {
		on := true
		c.TLS.HSTS = &on
	}
	c.Edge.HTTPPort = cmp.Or(c.Edge.HTTPPort, 80)
	c.Edge.HTTPSPort = cmp.Or(c.Edge.HTTPSPort, 443)
	c.Firewall.Backend = cmp.Or(c.Firewall.Backend, "auto")
	c.Store = cmp.Or(c.Store, "sqlite")
	c.Admin.Name = cmp.Or(c.Admin.Name, "admin")
	return c
}

// Hosts are the public names, the registry's first.
func (c Config) Hosts() []string {
	names := []string{c.Host}
	if c.Auth.Host != "" && c.Auth.Host != c.Host {
		names = append(names, c.Auth.Host)
	}
	return names
}
