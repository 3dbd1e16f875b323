package auth

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"regctl/stack/auth/store"
)

// mongoSections is a configuration with the keys of a dial_info in both
// sections, and more in acl_mongo.
func mongoSections(dial, acl string) string {
	return partServer + partToken +
		"mongo_auth: {dial_info: {" + dial + "}, collection: users}\n" +
		"acl_mongo: {dial_info: {" + dial + "}, collection: acl" + acl + "}\n"
}

func passwordFiles(t *testing.T) configFiles {
	t.Helper()
	f := newConfigFiles(t)
	for name, content := range map[string]string{"mongopass.txt": " s3cret-of-mongo\n", "empty.txt": "\n"} {
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

const someDial = "addrs: [db], database: d"

func TestConfigMongo(t *testing.T) {
	t.Parallel()
	f := passwordFiles(t)
	for _, row := range []struct {
		text string
		want store.MongoOptions
		ttl  time.Duration
	}{
		{mongoSections(someDial, ""), store.MongoOptions{Users: "users", Rules: "acl"}, DefaultCacheTTL},
		{mongoSections(someDial, ", cache_ttl: 1m"), store.MongoOptions{Users: "users", Rules: "acl"}, time.Minute},
		{mongoSections(someDial, ", cache_ttl: 0"), store.MongoOptions{Users: "users", Rules: "acl"}, DefaultCacheTTL},
		{partServer + partToken + partACL + "mongo_auth: {dial_info: {" + someDial + "}, collection: u, cache_ttl: 2s}\n", store.MongoOptions{Users: "u"}, 2 * time.Second},
		{partServer + partToken + partUsers + "acl_mongo: {dial_info: {" + someDial + "}, collection: a}\n", store.MongoOptions{Rules: "a"}, DefaultCacheTTL},
		{mongoSections(someDial+", username: ansi, password: overridden, password_file: DIR/mongopass.txt, source: s, mechanism: SCRAM-SHA-1, timeout: 3s, direct: true", ""),
			store.MongoOptions{Users: "users", Rules: "acl", Username: "ansi", Password: "s3cret-of-mongo", Source: "s", Mechanism: "SCRAM-SHA-1", Direct: true, Timeout: 3 * time.Second}, DefaultCacheTTL},
	} {
		row.want.Addrs, row.want.Database = []string{"db"}, "d"
		if row.want.Timeout == 0 {
			row.want.Timeout = 10 * time.Second
		}
		cfg, err := f.load(t, row.text, LoadOptions{})
		if err != nil {
			t.Errorf("%s: %v", row.text, err)
			continue
		}
		if !reflect.DeepEqual(*cfg.Store.Mongo, row.want) || cfg.Store.CacheTTL != row.ttl || len(cfg.Warnings) > 0 {
			t.Errorf("%s\ngot  %+v %s %q\nwant %+v %s", row.text, *cfg.Store.Mongo, cfg.Store.CacheTTL, cfg.Warnings, row.want, row.ttl)
		}
		if shown := fmt.Sprintf("%v %+v %#v", cfg.Store, *cfg.Store.Mongo, *cfg.Store.Mongo); strings.Contains(shown, "s3cret") {
			t.Errorf("shown with its password: %s", shown)
		}
	}
	for _, row := range []struct {
		tls  string
		want bool
	}{
		{"enable_tls: true", true}, {"enabled_tls: true", true}, {"enable_tls: false", false},
		{"enable_tls: true, ca_certificate: DIR/ca.pem", true}, {"enabled_tls: true, insecure_tls_skip_verify: true", true},
	} {
		cfg, err := f.load(t, mongoSections(someDial+", "+row.tls, ""), LoadOptions{})
		if err != nil {
			t.Errorf("%s: %v", row.tls, err)
			continue
		}
		settings := cfg.Store.Mongo.TLS
		if (settings != nil) != row.want || settings != nil && (settings.RootCAs != nil) != strings.Contains(row.tls, "ca.pem") ||
			settings != nil && settings.InsecureSkipVerify != (len(cfg.Warnings) > 0) {
			t.Errorf("%s: %+v, %q", row.tls, settings, cfg.Warnings)
		}
	}
}

func TestConfigMongoErrors(t *testing.T) {
	t.Parallel()
	f := passwordFiles(t)
	for _, row := range []struct{ text, want string }{
		{mongoSections("", ""), "FILE:3: At least one element in mongo_auth.dial_info.addrs is required"},
		{mongoSections("addrs: []", ""), "FILE:3: At least one element in mongo_auth.dial_info.addrs is required"},
		{mongoSections("addrs: ['mongodb://db/d'], database: d", ""), "mongo_auth.dial_info.addrs: want HOST:PORT"},
		{mongoSections("addrs: [db]", ""), "FILE:3: mongo_auth.dial_info.database is required"},
		{partServer + partToken + partACL + "mongo_auth: {dial_info: {" + someDial + "}}\n", "FILE:4: mongo_auth.collection is required"},
		{partServer + partToken + partACL + "mongo_auth: {collection: u}\n", "FILE:4: mongo_auth.dial_info is required"},
		{partServer + partToken + partUsers + "acl_mongo: {dial_info: {addrs: []}}\n", "FILE:4: At least one element in acl_mongo.dial_info.addrs is required"},
		{partServer + partToken + "mongo_auth: {dial_info: {" + someDial + "}, collection: u}\n", "ACL is empty"},
		{partServer + partToken + partACL + "mongo_auth: {dial_info: {" + someDial + "}, collection: regctl_tokens}\n", `documents cannot be kept in "regctl_tokens"`},
		{mongoSections(someDial, ", cache_ttl: -1s"), `acl_mongo.cache_ttl is required (e.g. "1m" for 1 minute)`},
		{mongoSections(someDial, ", cache_ttl: 60"), "acl_mongo.cache_ttl is 60ns, at least 100ms is possible: give a number with a unit, such as \"10s\" (--compat accepts it)"},
		{mongoSections(someDial, ", cache_ttl: soon"), `acl_mongo.cache_ttl: "soon" is no duration`},
		{mongoSections(someDial+", timeout: 10", ""), "mongo_auth.dial_info.timeout is 10ns"},
		{mongoSections(someDial+", mechanism: MONGODB-CR", ""), "mongo_auth.dial_info.mechanism is SCRAM-SHA-256 or SCRAM-SHA-1"},
		{mongoSections("addrs: [a, b], database: d, direct: true", ""), "mongo_auth.dial_info.direct is for one address, and addrs has 2"},
		{mongoSections(someDial+", username: u", ""), "mongo_auth.dial_info.password_file is missing (or password)"},
		{mongoSections(someDial+", password: p", ""), "mongo_auth.dial_info.username is missing"},
		{mongoSections(someDial+", username: u, password_file: DIR/none", ""), "Failed to read password file DIR/none: open DIR/none: no such file"},
		{mongoSections(someDial+", username: u, password_file: DIR/empty.txt", ""), "Failed to read password file DIR/empty.txt: it is empty"},
		{mongoSections(someDial+", enable_tls: true, enabled_tls: false", ""), "enable_tls and enabled_tls contradict each other"},
		{mongoSections(someDial+", ca_certificate: DIR/ca.pem", ""), "need enable_tls: true"},
		{mongoSections(someDial+", enable_tls: true, ca_certificate: DIR/ca.key", ""), "no certificate in PEM form"},
		{strings.Replace(mongoSections(someDial, ""), "database: d", "database: e", 1), "FILE:4: acl_mongo.dial_info.database is not that of mongo_auth: users and rules must be in one database"},
		{strings.Replace(mongoSections(someDial, ""), "collection: acl", "collection: users", 1), "acl_mongo.collection is that of mongo_auth"},
		{mongoSections(someDial, "") + "store: {path: a.db}\n", "FILE:5: store and mongo_auth or acl_mongo name two databases"},
	} {
		_, err := f.load(t, row.text, LoadOptions{})
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s\ngot  %v\nwant %s", row.text, err, row.want)
		}
	}
	cfg, err := f.load(t, mongoSections(someDial+", failfast: true, extra: 1, timeout: 10", ", cache_ttl: 60"), LoadOptions{Compat: true})
	if err != nil || cfg.Store.CacheTTL != DefaultCacheTTL || cfg.Store.Mongo.Timeout != 10*time.Second {
		t.Fatalf("%+v, %v", cfg, err)
	}
	all := strings.Join(cfg.Warnings, "\n")
	for _, want := range []string{"mongo_auth.dial_info.failfast is ignored", "cache_ttl is 60ns", "timeout is 10ns", "unknown key acl_mongo.dial_info.extra is ignored"} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning %q in\n%s", want, all)
		}
	}
}

// A running server keeps to its database; how often it looks may change.
func TestSameDatabase(t *testing.T) {
	t.Parallel()
	f := passwordFiles(t)
	load := func(text string) *StoreConfig {
		t.Helper()
		cfg, err := f.load(t, text, LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return cfg.Store
	}
	one := mongoSections(someDial+", username: u, password: p, enable_tls: true, ca_certificate: DIR/ca.pem", "")
	none, sqlite := partServer+partToken+partUsers+partACL, partServer+partToken+"store: {path: a.db}\n"
	for _, row := range []struct {
		a, b string
		want bool
	}{
		{none, none, true}, {sqlite, sqlite, true}, {one, one, true},
		{one, strings.Replace(one, "collection: acl", "collection: acl, cache_ttl: 1m", 1), true},
		{none, one, false}, {one, sqlite, false}, {sqlite, none, false}, {sqlite, strings.Replace(sqlite, "a.db", "b.db", 1), false},
		{one, strings.ReplaceAll(one, "password: p", "password: q"), false},
		{one, strings.ReplaceAll(one, "ca.pem", "other.pem"), false},
		{one, strings.ReplaceAll(one, ", enable_tls: true, ca_certificate: DIR/ca.pem", ""), false},
	} {
		if got := load(row.a).sameDatabase(load(row.b)); got != row.want {
			t.Errorf("%s\n%s\ngot %t", row.a, row.b, got)
		}
	}
}
