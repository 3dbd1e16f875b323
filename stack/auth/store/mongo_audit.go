package store

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const auditCollection = OwnCollections + "audit"

// auditRow is an AuditRow in the database. Rows of one moment are in the order
// of their ids, which rise.
type auditRow struct {
	ID      bson.ObjectID `bson:"_id"`
	Time    time.Time     `bson:"time"`
	Account string        `bson:"account"`
	Client  string        `bson:"client"`
	Outcome string        `bson:"outcome"`
	Record  string        `bson:"record"` // text, so that it comes back byte for byte
}

// countAudit counts the rows at the start; from then on this process knows.
func (m *Mongo) countAudit(ctx context.Context) (err error) {
	m.auditRows, err = m.collection(auditCollection).EstimatedDocumentCount(ctx)
	return err
}

// AppendAudit implements Store.
func (m *Mongo) AppendAudit(ctx context.Context, rows []AuditRow) error {
	if len(rows) == 0 {
		return nil
	}
	docs := make([]auditRow, len(rows))
	for i, r := range rows {
		// A client may send any bytes for an account; a BSON string is UTF-8.
		account := strings.ToValidUTF8(r.Account, "\uFFFD")
		docs[i] = auditRow{bson.NewObjectID(), r.Time, account, r.Client, r.Outcome, string(r.Record)}
	}
	m.auditing.Lock()
	defer m.auditing.Unlock()
	err := m.limited(ctx, func(ctx context.Context) error {
		if _, err := m.collection(auditCollection).InsertMany(ctx, docs); err != nil {
			return err
		}
		m.auditRows += int64(len(docs))
		return m.pruneAudit(ctx)
	})
	if err != nil {
		return m.wrap("appending to the audit", err)
	}
	return nil
}

// pruneAudit drops the oldest rows once there is a tenth too many: finding where
// to cut costs the server a walk along the index.
func (m *Mongo) pruneAudit(ctx context.Context) error {
	limit := int64(m.opts.AuditLimit)
	if m.auditRows <= limit+limit/10 {
		return nil
	}
	var first auditRow // of those to drop
	byAge := options.FindOne().SetSort(bson.D{{Key: "_id", Value: -1}}).SetSkip(limit)
	err := m.collection(auditCollection).FindOne(ctx, bson.D{}, byAge).Decode(&first)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return m.countAudit(ctx)
	}
	if err != nil {
		return err
	}
	_, err = m.collection(auditCollection).DeleteMany(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$lte", Value: first.ID}}}})
	if err == nil {
		m.auditRows = limit
	}
	return err
}

// SearchAudit implements Store.
func (m *Mongo) SearchAudit(ctx context.Context, q AuditQuery) ([]AuditRow, error) {
	var docs []auditRow
	err := m.limited(ctx, func(ctx context.Context) error {
		limit := q.Limit
		if limit <= 0 {
			limit = 100
		}
		newest := options.Find().SetSort(bson.D{{Key: "time", Value: -1}, {Key: "_id", Value: -1}}).SetLimit(int64(limit))
		cursor, err := m.collection(auditCollection).Find(ctx, auditFilter(q), newest)
		if err != nil {
			return err
		}
		return cursor.All(ctx, &docs)
	})
	if err != nil {
		return nil, m.wrap("searching the audit", err)
	}
	var found []AuditRow
	for _, d := range docs {
		found = append(found, AuditRow{d.Time.UTC(), d.Account, d.Client, d.Outcome, json.RawMessage(d.Record)})
	}
	return found, nil
}

func auditFilter(q AuditQuery) bson.D {
	filter := bson.D{}
	and := func(field string, condition any) { filter = append(filter, bson.E{Key: field, Value: condition}) }
	if q.Account != nil {
		and("account", *q.Account)
	}
	if q.Client != "" {
		and("client", q.Client)
	}
	if len(q.Outcomes) > 0 {
		and("outcome", bson.D{{Key: "$in", Value: q.Outcomes}})
	}
	var span bson.D
	if !q.Since.IsZero() {
		span = append(span, bson.E{Key: "$gte", Value: q.Since})
	}
	if !q.Until.IsZero() {
		span = append(span, bson.E{Key: "$lt", Value: q.Until})
	}
	if span != nil {
		and("time", span)
	}
	return filter
}
