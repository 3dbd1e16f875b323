package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const (
	tokenCollection   = OwnCollections + "tokens"
	refreshCollection = OwnCollections + "refresh_tokens"
	journalCollection = OwnCollections + "journal"
)

// operation puts or drops the document with a key.
type operation struct {
	Collection string   `bson:"collection"`
	Field      string   `bson:"field"` // of the key
	Key        any      `bson:"key"`
	Set        bson.D   `bson:"set,omitempty"` // nil drops
	Unset      []string `bson:"unset,omitempty"`
}

// journalEntry is a change that takes several operations. It is written first,
// which is one atomic operation for the server, and removed when all are done:
// who finds one completes it. So every server keeps a change whole, also one
// without transactions, which needs a replica set.
type journalEntry struct {
	ID         bson.ObjectID `bson:"_id"`
	Operations []operation   `bson:"operations"`
}

// Write implements Store. Once it has begun it does not watch ctx: it takes the
// time of one operation at most, and half of it would not help.
func (m *Mongo) Write(ctx context.Context, c Change) error {
	if err := ctx.Err(); err != nil {
		return m.wrap("writing a change", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.limited(context.WithoutCancel(ctx), func(ctx context.Context) error { return m.write(ctx, c) })
	if err != nil {
		return m.wrap("writing a change", err)
	}
	return nil
}

func (m *Mongo) write(ctx context.Context, c Change) error {
	if m.opts.Users == "" && len(c.PutUsers)+len(c.DropUsers) > 0 {
		return errors.New("there is no collection of users (mongo_auth)")
	}
	if m.opts.Rules == "" && len(c.PutRules)+len(c.DropRules) > 0 {
		return errors.New("there is no collection of rules (acl_mongo)")
	}
	if err := m.settle(ctx); err != nil {
		return err
	}
	operations := m.operations(c)
	if len(operations) < 2 {
		return m.apply(ctx, operations)
	}
	entry := journalEntry{bson.NewObjectID(), operations}
	if _, err := m.collection(journalCollection).InsertOne(ctx, entry); err != nil {
		if !refused(err) {
			m.doubtful = append(m.doubtful, entry.ID)
		}
		return err
	}
	m.unfinished = true
	if err := m.complete(ctx, entry); refused(err) {
		return err
	}
	// Whatever else went wrong is for the next settle: the change is durable.
	return nil
}

// settle brings the collections to the state after the last change.
func (m *Mongo) settle(ctx context.Context) error {
	journal := m.collection(journalCollection)
	if len(m.doubtful) > 0 {
		// Their Write has reported an error.
		_, err := journal.DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: m.doubtful}}}})
		if err != nil {
			return err
		}
		m.doubtful = nil
	}
	if !m.unfinished {
		return nil
	}
	cursor, err := journal.Find(ctx, bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		return err
	}
	var entries []journalEntry
	if err := cursor.All(ctx, &entries); err != nil {
		return err
	}
	for _, entry := range entries {
		if err := m.complete(ctx, entry); refused(err) {
			m.notes = append(m.notes, fmt.Sprintf("collection %s: a change of %s was made in part: %v",
				journalCollection, entry.ID.Timestamp().UTC().Format(time.RFC3339), err))
		} else if err != nil {
			return err
		}
	}
	m.unfinished = false
	return nil
}

// complete makes the changes of a journal entry and removes it, also when the
// server refuses the changes: it would do so the next time.
func (m *Mongo) complete(ctx context.Context, entry journalEntry) error {
	applied := m.apply(ctx, entry.Operations)
	if applied != nil && !refused(applied) {
		return applied
	}
	_, err := m.collection(journalCollection).DeleteOne(ctx, bson.D{{Key: "_id", Value: entry.ID}})
	if applied == nil && err == nil {
		m.unfinished = false
	}
	return cmp.Or(applied, err)
}

// apply makes operations in their order, which may be done again.
func (m *Mongo) apply(ctx context.Context, operations []operation) error {
	for part := range chunksBy(operations, func(o operation) string { return o.Collection }) {
		var models []mongo.WriteModel
		for _, o := range part {
			models = append(models, o.model())
		}
		// An upsert finds nothing, and when it inserts someone else just has: the
		// next try updates (MongoDB: db.collection.updateOne, Upsert with Duplicate
		// Values).
		_, err := m.collection(part[0].Collection).BulkWrite(ctx, models)
		for try := 0; try < 3 && mongo.IsDuplicateKeyError(err); try++ {
			_, err = m.collection(part[0].Collection).BulkWrite(ctx, models)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// chunksBy yields the runs of items with one key.
func chunksBy[T any, K comparable](items []T, key func(T) K) func(yield func([]T) bool) {
	return func(yield func([]T) bool) {
		for len(items) > 0 {
			n := slices.IndexFunc(items, func(item T) bool { return key(item) != key(items[0]) })
			if n < 0 {
				n = len(items)
			}
			if !yield(items[:n]) {
				return
			}
			items = items[n:]
		}
	}
}

// model keeps fields that are not ours: other programs may have theirs there.
func (o operation) model() mongo.WriteModel {
	filter := bson.D{{Key: o.Field, Value: o.Key}}
	if o.Set == nil {
		return mongo.NewDeleteManyModel().SetFilter(filter)
	}
	update := bson.D{{Key: "$set", Value: o.Set}}
	if len(o.Unset) > 0 {
		var unset bson.D
		for _, field := range o.Unset {
			unset = append(unset, bson.E{Key: field, Value: ""})
		}
		update = append(update, bson.E{Key: "$unset", Value: unset})
	}
	return mongo.NewUpdateOneModel().SetFilter(filter).SetUpdate(update).SetUpsert(true)
}

// operations are the puts and drops of c.
func (m *Mongo) operations(c Change) []operation {
	return slices.Concat(
		operations(m.opts.Users, "username", c.DropUsers, c.PutUsers, func(u User) string { return u.Name }, putUser),
		operations(m.opts.Rules, "seq", c.DropRules, c.PutRules, func(r Rule) int64 { return r.Seq }, putRule),
		operations(tokenCollection, "_id", c.DropTokens, c.PutTokens, func(t Token) string { return t.ID }, putToken),
		operations(refreshCollection, "_id", c.DropRefresh, c.PutRefresh, func(r Refresh) string { return r.ID }, putRefresh),
	)
}

// operations lists puts before drops: for who looks at the database meanwhile, a
// rule that moves is there twice rather than not at all. A put needs no drop of
// the same key before it.
func operations[K comparable, V any](collection, field string, drop []K, put []V, key func(V) K, fields func(V, *operation)) (all []operation) {
	kept := map[K]bool{}
	for _, v := range put {
		o := operation{Collection: collection, Field: field, Key: key(v)}
		fields(v, &o)
		all = append(all, o)
		kept[key(v)] = true
	}
	for _, k := range drop {
		if !kept[k] {
			all = append(all, operation{Collection: collection, Field: field, Key: k})
		}
	}
	return all
}

// set sets a field, or removes it when it says nothing.
func (o *operation) set(field string, value any, given bool) {
	if given {
		o.Set = append(o.Set, bson.E{Key: field, Value: value})
	} else {
		o.Unset = append(o.Unset, field)
	}
}

func (o *operation) moment(field string, t time.Time) {
	o.set(field, bson.DateTime(t.UnixMilli()), !t.IsZero())
}

func putUser(u User, o *operation) {
	// Always there: docker_auth lets everybody in without it.
	o.set("password", u.PasswordHash, true)
	o.set("labels", labelDocument(u.Labels), u.Labels != nil)
	o.set("disabled", true, u.Disabled)
	o.set("comment", u.Comment, u.Comment != "")
	o.moment("created", u.Created)
	o.moment("not_before", u.NotBefore)
	o.moment("expires", u.Expires)
}

func putRule(r Rule, o *operation) {
	match := bson.D{}
	for _, c := range []struct {
		field   string
		pattern *string
	}{{"account", r.Match.Account}, {"type", r.Match.Type}, {"name", r.Match.Name}, {"service", r.Match.Service}, {"ip", r.Match.IP}} {
		if c.pattern != nil {
			match = append(match, bson.E{Key: c.field, Value: *c.pattern})
		}
	}
	if r.Match.Labels != nil {
		match = append(match, bson.E{Key: "labels", Value: labelDocument(r.Match.Labels)})
	}
	o.set("match", match, true)
	o.set("actions", r.Actions, r.Actions != nil)
	o.set("comment", r.Comment, r.Comment != "")
	o.moment("not_before", r.NotBefore)
	o.moment("expires", r.Expires)
}

func labelDocument[V any](labels map[string]V) bson.D {
	doc := bson.D{}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		doc = append(doc, bson.E{Key: labelField(key), Value: labels[key]})
	}
	return doc
}

func putToken(t Token, o *operation) {
	o.set("username", t.User, true)
	o.set("name", t.Name, true)
	o.set("hash", t.Hash, true)
	o.set("scopes", t.Scopes, t.Scopes != nil)
	o.moment("created", t.Created)
	o.moment("last_used", t.LastUsed)
	o.moment("not_before", t.NotBefore)
	o.moment("expires", t.Expires)
}

func putRefresh(t Refresh, o *operation) {
	o.set("username", t.User, true)
	o.set("service", t.Service, true)
	o.set("client_id", t.ClientID, t.ClientID != "")
	o.set("hash", t.Hash, true)
	o.moment("created", t.Created)
	o.moment("last_used", t.LastUsed)
	o.moment("expires", t.Expires)
}

// Touch implements Store.
func (m *Mongo) Touch(ctx context.Context, lastUsed map[string]time.Time) error {
	if len(lastUsed) == 0 {
		return nil
	}
	var models []mongo.WriteModel
	for id, at := range lastUsed {
		models = append(models, mongo.NewUpdateOneModel().
			SetFilter(bson.D{{Key: "_id", Value: id}}).
			SetUpdate(bson.D{{Key: "$set", Value: bson.D{{Key: "last_used", Value: bson.DateTime(at.UnixMilli())}}}}))
	}
	err := m.limited(ctx, func(ctx context.Context) error {
		for _, collection := range []string{tokenCollection, refreshCollection} {
			if _, err := m.collection(collection).BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return m.wrap("recording last uses", err)
	}
	return nil
}
