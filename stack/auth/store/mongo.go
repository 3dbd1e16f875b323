package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// OwnCollections begin with this prefix. What docker_auth knows, users and
// rules, is in collections of any other name.
const OwnCollections = "regctl_"

// MongoOptions say where the documents are.
type MongoOptions struct {
	Addrs    []string      // HOST:PORT, or the path of a unix socket that ends in .sock
	Timeout  time.Duration // of connecting and of each operation; 0 means 10 s
	Database string
	// Users and Rules are the collections; "" keeps none of that kind: Load finds
	// none and Write refuses them.
	Users, Rules string

	Username string // "" logs in nowhere
	Password Secret
	// Source is the database that knows Username. "" tries Database and then
	// admin, the places where people create it.
	Source    string
	Mechanism string // "" lets server and driver agree, else SCRAM-SHA-256 or SCRAM-SHA-1
	// Direct asks this one server and not the replica set that it belongs to.
	Direct bool
	TLS    *tls.Config // nil is no TLS

	AuditLimit int // rows of the audit index; 0 means 200,000
}

// Secret is text that no log shows: all that fmt and encoders print are stars.
type Secret string

func (Secret) String() string               { return "****" }
func (Secret) GoString() string             { return "****" }
func (Secret) MarshalText() ([]byte, error) { return []byte("****"), nil }

// Mongo is the Store in a MongoDB database. Users and rules are docker_auth's
// documents with fields of ours that it ignores; tokens, refresh tokens and the
// audit index are in collections of our own. The server may be shared and the
// documents may be edited by others.
type Mongo struct {
	opts   MongoOptions
	client *mongo.Client
	seed   hashSeed
	notes  []string // what is wrong with the database as a whole

	// mu keeps a Load from seeing half of a Write; MongoDB without a replica set
	// has no transactions.
	mu sync.Mutex
	// doubtful are journal entries that may have been written although the
	// server's answer says or does nothing about it.
	doubtful []bson.ObjectID
	// unfinished says that the journal may hold changes to be made.
	unfinished bool

	auditing  sync.Mutex
	auditRows int64 // in the audit index, about
}

// OpenMongo connects and makes the indexes, docker_auth's two among them. A
// change that a killed process left half made is completed.
func OpenMongo(ctx context.Context, opts MongoOptions) (*Mongo, error) {
	if opts.Timeout == 0 {
		opts.Timeout = 10 * time.Second
	}
	if opts.AuditLimit == 0 {
		opts.AuditLimit = 200_000
	}
	m := &Mongo{opts: opts, seed: newHashSeed(), unfinished: true}
	err := m.connect(ctx)
	if err == nil {
		err = m.prepare(ctx)
	}
	if err != nil {
		return nil, errors.Join(m.wrap("opening", err), m.Close())
	}
	return m, nil
}

// connect logs in.
func (m *Mongo) connect(ctx context.Context) error {
	sources := []string{m.opts.Source}
	if m.opts.Source == "" {
		sources = slices.Compact([]string{m.opts.Database, "admin"})
	}
	if m.opts.Username == "" {
		sources = sources[:1]
	}
	for _, source := range sources {
		if m.client != nil {
			m.client.Disconnect(ctx) // has no connection
		}
		var err error
		if m.client, err = mongo.Connect(m.clientOptions(source)); err != nil {
			return err
		}
		err = m.limited(ctx, func(ctx context.Context) error { return m.client.Ping(ctx, nil) })
		if !wrongPassword(err) {
			return err
		}
	}
	return fmt.Errorf("user %q with this password is unknown to database %s", m.opts.Username, strings.Join(sources, " and "))
}

func (m *Mongo) clientOptions(source string) *options.ClientOptions {
	journaled := true
	o := options.Client().
		SetAppName("regctl").
		SetHosts(m.opts.Addrs).
		SetConnectTimeout(m.opts.Timeout).
		SetServerSelectionTimeout(m.opts.Timeout).
		SetMaxPoolSize(8). // one writer, and a poll, the audit and its searches beside it
		SetDirect(m.opts.Direct).
		SetWriteConcern(&writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: &journaled})
	if m.opts.TLS != nil {
		o.SetTLSConfig(m.opts.TLS)
	}
	if m.opts.Username != "" {
		o.SetAuth(options.Credential{
			AuthMechanism: m.opts.Mechanism, AuthSource: source,
			Username: m.opts.Username, Password: string(m.opts.Password), PasswordSet: true,
		})
	}
	return o
}

// wrongPassword reports the answer to a login that fails, code 18.
// The driver's type for it is not exported.
func wrongPassword(err error) bool {
	return err != nil && strings.Contains(err.Error(), "(AuthenticationFailed)")
}

// prepare makes the indexes. Without one the documents can still be used, so
// what is in the way (two documents of one name, no right to) is only noted.
func (m *Mongo) prepare(ctx context.Context) error {
	unique := options.Index().SetUnique(true)
	for _, index := range []struct {
		collection string
		model      mongo.IndexModel
	}{
		{m.opts.Users, mongo.IndexModel{Keys: bson.D{{Key: "username", Value: 1}}, Options: unique}},
		{m.opts.Rules, mongo.IndexModel{Keys: bson.D{{Key: "seq", Value: 1}}, Options: unique}},
		{auditCollection, mongo.IndexModel{Keys: bson.D{{Key: "time", Value: -1}, {Key: "_id", Value: -1}}}},
	} {
		if index.collection == "" {
			continue
		}
		err := m.limited(ctx, func(ctx context.Context) error {
			_, err := m.collection(index.collection).Indexes().CreateOne(ctx, index.model)
			return err
		})
		if err != nil && !refused(err) {
			return err
		}
		if err != nil {
			m.notes = append(m.notes, fmt.Sprintf("collection %s: no index: %v", index.collection, err))
		}
	}
	return m.limited(ctx, m.countAudit)
}

// Close ends the connections. Closing again does nothing.
func (m *Mongo) Close() error {
	if m.client == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.opts.Timeout)
	defer cancel()
	if err := m.client.Disconnect(ctx); err != nil && !errors.Is(err, mongo.ErrClientDisconnected) {
		return m.wrap("closing", err)
	}
	return nil
}

func (m *Mongo) collection(name string) *mongo.Collection {
	return m.client.Database(m.opts.Database).Collection(name)
}

// limited runs f with the timeout of one operation.
func (m *Mongo) limited(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, m.opts.Timeout)
	defer cancel()
	return f(ctx)
}

// refused reports that the server has looked at an operation and does not do
// it, as opposed to one that did not arrive, or of which nothing is known.
func refused(err error) bool {
	var server mongo.ServerError
	if !errors.As(err, &server) || mongo.IsNetworkError(err) || mongo.IsTimeout(err) || server.HasErrorLabel("RetryableWriteError") {
		return false
	}
	if write, ok := errors.AsType[mongo.WriteException](err); ok {
		return len(write.WriteErrors) > 0
	}
	if bulk, ok := errors.AsType[mongo.BulkWriteException](err); ok {
		return len(bulk.WriteErrors) > 0
	}
	return true
}

func (m *Mongo) wrap(doing string, err error) error {
	return fmt.Errorf("store mongodb://%s/%s: %s: %w", strings.Join(m.opts.Addrs, ","), m.opts.Database, doing, err)
}
