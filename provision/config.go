package provision

import "cmp"

// ConfigVersion is the format of regctl.yaml that this regctl reads and writes.
const ConfigVersion = 1

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
	Images   Images         `yaml:"images,omitempty" jsonschema:"description=what the containers are made of"`
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
	HTTPPort     int    `yaml:"http_port,omitempty" jsonschema:"minimum=1,maximum=65535,description=port that redirects to https"`
	HTTPSPort    int    `yaml:"https_port,omitempty" jsonschema:"minimum=1,maximum=65535,description=port of the registry"`
	NginxVersion string `yaml:"nginx_version,omitempty" jsonschema:"description=render for this version instead of the image's"`
}

// FirewallConfig is about the host's packet filter.
type FirewallConfig struct {
	Backend string `yaml:"backend,omitempty" jsonschema:"enum=auto,enum=ufw,enum=iptables,enum=none,description=what closes the ports that nobody needs; auto: the one at hand"`
}

// MongoConfig is about the database of store: mongo.
type MongoConfig struct {
	UI bool `yaml:"ui,omitempty" jsonschema:"description=run a web interface of the database on a loopback port"`
}

// AdminConfig is about the first account.
type AdminConfig struct {
	Name         string `yaml:"name,omitempty" jsonschema:"description=name of the first account"`
	PasswordFile string `yaml:"password_file,omitempty" jsonschema:"description=file with its first password; empty: one is made up"`
}

// WithDefaults returns c with every empty setting that has a default set to it.
func (c Config) WithDefaults() Config {
	c.Version = cmp.Or(c.Version, ConfigVersion)
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
