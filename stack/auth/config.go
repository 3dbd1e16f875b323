package auth

import (
	"crypto/tls"
	"net/netip"
	"time"

	"regctl/stack/auth/store"
)

// Config is a checked configuration: docker_auth's keys that we support, and
// our own. A nil section was not configured.
type Config struct {
	Server ServerConfig
	Token  TokenConfig
	Users  map[string]StaticUser
	ACL    []store.Rule // Seq is the index in the file
	Store  *StoreConfig // ours
	Audit  AuditConfig  // ours

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
	// TrustedProxies may set RealIPHeader; from other peers it is ignored.
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
	RefreshExpiration time.Duration // ours; unused that long, a refresh token ends
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

// StoreConfig names the database of users and rules.
type StoreConfig struct {
	SQLite string // path of the database file
}

// AuditConfig says where decisions are logged.
type AuditConfig struct {
	File string // "" = none, "-" = standard output
}
