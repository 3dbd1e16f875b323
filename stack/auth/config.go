package auth

import (
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"regctl/stack/auth/store"
)

// maxConfigSize bounds the configuration file; 8 MiB are some 50,000 users.
const maxConfigSize = 8 << 20

// Config is a checked configuration: docker_auth's keys that we support, and
// our own. A nil section was not configured.
type Config struct {
	Server ServerConfig
	Token  TokenConfig
	Users  map[string]StaticUser
	ACL    []store.Rule // Seq is the index in the file
	Store  *StoreConfig // ours
	Audit  AuditConfig  // ours

	// Compat says that the file was loaded with --compat, so that ACL may have
	// malformed globs: compile it with IgnoreBadGlobs.
	Compat bool
	// Warnings are what --compat let pass and what is ignored, for the log.
	Warnings []string
	// Files are all files that the configuration was read from, itself first;
	// a change of any of them is a reason to reload.
	Files []string
}

// ServerConfig says where and how to listen.
type ServerConfig struct {
	Addr       string
	Net        string // "tcp" or "unix"
	PathPrefix string
	TLS        *tls.Config // nil: plain HTTP
	HSTS       bool

	RealIPHeader string
	RealIPPos    int
	// TrustedProxies may set RealIPHeader; from other peers it is ignored. When
	// the key is absent they are the loopback and private networks (RFC 1918,
	// RFC 4193): a proxy on the same host or network keeps working, and a
	// client from the internet cannot forge its address.
	TrustedProxies []netip.Prefix // ours

	MetricsAddr string // ours; "" = off
	AdminSocket string // ours; "" = off
}

// TokenConfig says what tokens say and what signs them.
type TokenConfig struct {
	Issuer             string
	Expiration         time.Duration
	DisableLegacyKeyID bool

	// Pair signs as docker_auth does. Nil when SigningCA is set.
	Pair *KeyPair
	// X5C adds the certificate to each token while it is valid; default true.
	X5C bool // ours
	// SigningCA mints short-lived leaves that sign.
	SigningCA *KeyPair // ours

	Refresh           bool          // ours
	RefreshExpiration time.Duration // ours; how long a refresh token lives
}

// StaticUser is an entry of the users section.
type StaticUser struct {
	// PasswordHash nil accepts every password (docker_auth; only with --compat,
	// or for the anonymous user ""). Anything that is not bcrypt never matches.
	PasswordHash *string
	Labels       map[string][]string
	Disabled     bool
	store.Window
}

// StoreConfig names the database of users and rules: one of the two.
type StoreConfig struct {
	SQLite string // path of the database file
	// Mongo is what mongo_auth and acl_mongo say.
	Mongo *store.MongoOptions
	// CacheTTL is how long an edit in MongoDB may go unnoticed.
	CacheTTL time.Duration
}

// AuditConfig says where decisions are logged.
type AuditConfig struct {
	// File is "" for nowhere, "-" for standard error. In a configuration file
	// "none" is nowhere, and "-" the default.
	File string
}

// LoadOptions change what LoadConfig accepts and how it reads dates.
type LoadOptions struct {
	// Compat accepts with a warning what docker_auth accepts although it opens
	// the registry or cannot work.
	Compat bool
	// Location is where dates without a zone are meant; nil is time.Local.
	Location *time.Location
}

// LoadConfig reads and checks the configuration file at path, and the
// certificates and keys that it names. Relative paths are relative to the
// working directory. An error is for the operator: in docker_auth's words, with
// the file and, where there is one, the line.
func LoadConfig(path string, opts LoadOptions) (*Config, error) {
	data, err := readFile(path, maxConfigSize)
	if err != nil {
		return nil, fmt.Errorf("could not read %s: %w", path, err)
	}
	file, err := parseConfig(path, data)
	if err != nil {
		return nil, fmt.Errorf("could not parse config: %w", err)
	}
	c := newChecker(path, data, opts)
	if err := c.check(file); err != nil {
		return nil, fmt.Errorf("invalid config: %w", err)
	}
	if err := c.loadKeys(&file.v); err != nil {
		return nil, err
	}
	return c.config(), nil
}

// readFile reads a file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("larger than %d MiB", limit>>20)}
	}
	return data, err
}
