package auth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"regctl/stack/auth/store"
)

const (
	defaultDialTimeout = 10 * time.Second
	// DefaultCacheTTL is how long an edit in the database may go unnoticed if the
	// configuration says nothing.
	DefaultCacheTTL = 10 * time.Second
	// minCacheTTL bounds what looking at the database may cost.
	minCacheTTL = 100 * time.Millisecond
	// maxPasswordFile bounds the file of one password.
	maxPasswordFile = 4 << 10
)

// mongoYAML is mongo_auth or acl_mongo.
type mongoYAML struct {
	DialInfo   *section[dialYAML] `yaml:"dial_info"`
	Collection string             `yaml:"collection"`
	CacheTTL   *string            `yaml:"cache_ttl"` // docker_auth has it in acl_mongo only
}

// dialYAML has docker_auth's keys and, at the end, ours. EnabledTLS is what the
// article calls enable_tls; docker_auth ignores it.
type dialYAML struct {
	Addrs        []string `yaml:"addrs"`
	Timeout      *string  `yaml:"timeout"`
	Database     string   `yaml:"database"`
	Username     string   `yaml:"username"`
	Password     string   `yaml:"password"`
	PasswordFile string   `yaml:"password_file"`
	EnableTLS    *bool    `yaml:"enable_tls"`
	EnabledTLS   *bool    `yaml:"enabled_tls"`
	Source       string   `yaml:"source"`
	Mechanism    string   `yaml:"mechanism"`
	Direct       bool     `yaml:"direct"`
	FailFast     bool     `yaml:"failfast"`
	Service      string   `yaml:"service"`

	CACertificate string `yaml:"ca_certificate"`
	SkipVerify    bool   `yaml:"insecure_tls_skip_verify"`
}

// mongo checks a section that names documents and adds them to the store.
func (c *checker) mongo(name string, written given, s *section[mongoYAML]) error {
	if !written {
		return nil
	}
	place, m := at(name), &s.v
	if m.DialInfo == nil {
		return c.errorf(place, "%s.dial_info is required", name)
	}
	opts, err := c.dial(place.child("dial_info"), &m.DialInfo.v)
	if err != nil {
		return err
	}
	switch {
	case m.Collection == "":
		return c.errorf(place, "%s.collection is required", name)
	case strings.HasPrefix(m.Collection, store.OwnCollections), strings.HasPrefix(m.Collection, "system."), strings.ContainsAny(m.Collection, "$\x00"):
		return c.errorf(place.child("collection"), "%s.collection: documents cannot be kept in %q: take another name", name, m.Collection)
	}
	ttl, err := c.duration(place.child("cache_ttl"), m.CacheTTL, 0, minCacheTTL)
	if err != nil {
		return err
	}
	if c.cfg.Store == nil {
		c.cfg.Store = &StoreConfig{Mongo: opts}
	}
	both := c.cfg.Store
	if ttl > 0 && (both.CacheTTL == 0 || ttl < both.CacheTTL) {
		both.CacheTTL = ttl
	}
	if name == "mongo_auth" {
		both.Mongo.Users = m.Collection
	} else {
		both.Mongo.Rules = m.Collection
	}
	return nil
}

// dial checks dial_info.
func (c *checker) dial(place keyPath, d *dialYAML) (*store.MongoOptions, error) {
	opts := &store.MongoOptions{Addrs: d.Addrs, Database: d.Database, Username: d.Username, Source: d.Source, Mechanism: d.Mechanism, Direct: d.Direct}
	switch {
	case len(d.Addrs) == 0:
		return nil, c.errorf(place, "At least one element in %s.addrs is required", place)
	case slices.ContainsFunc(d.Addrs, func(a string) bool { return a == "" || strings.Contains(a, "://") || strings.ContainsAny(a, ", @") }):
		return nil, c.errorf(place.child("addrs"), "%s.addrs: want HOST:PORT or the path of a socket in each element, and user and database in keys of their own", place)
	case d.Direct && len(d.Addrs) > 1:
		return nil, c.errorf(place.child("direct"), "%s.direct is for one address, and addrs has %d", place, len(d.Addrs))
	case d.Database == "":
		return nil, c.errorf(place, "%s.database is required", place)
	case !slices.Contains([]string{"", "SCRAM-SHA-1", "SCRAM-SHA-256"}, d.Mechanism):
		return nil, c.errorf(place.child("mechanism"), "%s.mechanism is SCRAM-SHA-256 or SCRAM-SHA-1", place)
	}
	if d.FailFast {
		c.warnf(place.child("failfast"), "%s.failfast is ignored", place)
	}
	if d.Service != "" {
		c.warnf(place.child("service"), "%s.service is ignored", place)
	}
	var err error
	if opts.Timeout, err = c.duration(place.child("timeout"), d.Timeout, defaultDialTimeout, time.Second); err != nil {
		return nil, err
	}
	if opts.Password, err = c.mongoPassword(place, d); err != nil {
		return nil, err
	}
	opts.TLS, err = c.mongoTLS(place, d)
	return opts, err
}

// mongoPassword reads the password. As in docker_auth the file counts.
func (c *checker) mongoPassword(place keyPath, d *dialYAML) (store.Secret, error) {
	password := d.Password
	if d.PasswordFile != "" {
		data, err := readFile(d.PasswordFile, maxPasswordFile)
		if err == nil {
			password = strings.TrimSpace(string(data))
			if password == "" {
				err = errors.New("it is empty")
			}
		}
		if err != nil {
			return "", c.errorf(place.child("password_file"), "Failed to read password file %s: %w", d.PasswordFile, err)
		}
		c.read(d.PasswordFile)
	}
	switch {
	case d.Username == "" && password != "":
		return "", c.errorf(place, "%s.username is missing: the password is of no use without it", place)
	case d.Username != "" && password == "":
		return "", c.errorf(place, "%s.password_file is missing (or password): nobody logs in without one", place)
	}
	return store.Secret(password), nil
}

func (d *dialYAML) tls() bool {
	return d.EnableTLS != nil && *d.EnableTLS || d.EnabledTLS != nil && *d.EnabledTLS
}

// plain returns what tells one database from another.
func (d dialYAML) plain() dialYAML {
	on := d.tls()
	d.EnableTLS, d.EnabledTLS, d.Timeout = &on, nil, nil
	return d
}

// mongoTLS returns the settings for TLS, nil for none.
func (c *checker) mongoTLS(place keyPath, d *dialYAML) (*tls.Config, error) {
	on := d.tls()
	switch {
	case d.EnableTLS != nil && d.EnabledTLS != nil && *d.EnableTLS != *d.EnabledTLS:
		return nil, c.errorf(place.child("enabled_tls"), "%s: enable_tls and enabled_tls contradict each other", place)
	case !on && (d.CACertificate != "" || d.SkipVerify):
		return nil, c.errorf(place, "%s: ca_certificate and insecure_tls_skip_verify need enable_tls: true", place)
	case !on:
		return nil, nil
	}
	settings := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: d.SkipVerify}
	if d.SkipVerify {
		c.warnf(place.child("insecure_tls_skip_verify"), "%s.insecure_tls_skip_verify: any server is believed to be the database", place)
	}
	if d.CACertificate != "" {
		data, err := readFile(d.CACertificate, maxConfigSize)
		settings.RootCAs = x509.NewCertPool()
		if err == nil && !settings.RootCAs.AppendCertsFromPEM(data) {
			err = errors.New("it has no certificate in PEM form")
		}
		if err != nil {
			return nil, c.errorf(place.child("ca_certificate"), "%s.ca_certificate: reading %s: %w", place, d.CACertificate, err)
		}
		c.read(d.CACertificate)
	}
	return settings, nil
}

// duration reads a duration as docker_auth does, to whom a bare number is one of
// nanoseconds, which nobody means.
func (c *checker) duration(place keyPath, text *string, otherwise, least time.Duration) (time.Duration, error) {
	if text == nil || *text == "0" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(*text)
	if ns, failed := strconv.ParseInt(*text, 0, 64); failed == nil {
		d, err = time.Duration(ns), nil
	}
	switch {
	case err != nil:
		return 0, c.errorf(place, `%s: %q is no duration: write "10s"`, place, *text)
	case d < 0:
		return 0, c.errorf(place, `%s is required (e.g. "1m" for 1 minute)`, place)
	case d == 0:
		return otherwise, nil
	case d < least:
		return otherwise, c.refuse(place, `%s is %s, at least %s is possible: give a number with a unit, such as "10s"`, place, d, least)
	}
	return d, nil
}

// stores checks what belongs to no one section of those that name a database.
func (c *checker) stores(file *section[configYAML]) error {
	f := &file.v
	if file.keys["store"] {
		if f.Store.v.Path == "" {
			return c.errorf(at("store"), "store.path is required")
		}
		if c.cfg.Store != nil {
			return c.errorf(at("store"), "store and mongo_auth or acl_mongo name two databases: give one, or the users and rules that commands change could be in either")
		}
		c.cfg.Store = &StoreConfig{SQLite: f.Store.v.Path}
	}
	if s := c.cfg.Store; s != nil && s.Mongo != nil && s.CacheTTL == 0 {
		s.CacheTTL = DefaultCacheTTL
	}
	if !file.keys["mongo_auth"] || !file.keys["acl_mongo"] {
		return nil
	}
	users, rules := reflect.ValueOf(f.MongoAuth.v.DialInfo.v.plain()), reflect.ValueOf(f.ACLMongo.v.DialInfo.v.plain())
	for i := range users.NumField() {
		key := users.Type().Field(i).Tag.Get("yaml")
		if !reflect.DeepEqual(users.Field(i).Interface(), rules.Field(i).Interface()) {
			return c.errorf(at("acl_mongo", "dial_info"), "acl_mongo.dial_info.%s is not that of mongo_auth: users and rules must be in one database", key)
		}
	}
	if c.cfg.Store.Mongo.Users == c.cfg.Store.Mongo.Rules {
		return c.errorf(at("acl_mongo", "collection"), "acl_mongo.collection is that of mongo_auth: rules need their own")
	}
	return nil
}

// warnMongo warns of unknown keys.
func (c *checker) warnMongo(name string, s *section[mongoYAML]) {
	warnUnknown(c, at(name), s)
	if s.v.DialInfo != nil {
		warnUnknown(c, at(name, "dial_info"), s.v.DialInfo)
	}
}

// sameDatabase reports whether two configurations name one database in the same
// way.
func (s *StoreConfig) sameDatabase(other *StoreConfig) bool {
	if s == nil || other == nil {
		return s == other
	}
	if s.SQLite != other.SQLite || (s.Mongo == nil) != (other.Mongo == nil) {
		return false
	}
	if s.Mongo == nil {
		return true
	}
	a, b := *s.Mongo, *other.Mongo
	same := (a.TLS == nil) == (b.TLS == nil) && (a.TLS == nil || a.TLS.InsecureSkipVerify == b.TLS.InsecureSkipVerify && a.TLS.RootCAs.Equal(b.TLS.RootCAs))
	a.TLS, b.TLS = nil, nil
	return same && reflect.DeepEqual(a, b)
}
