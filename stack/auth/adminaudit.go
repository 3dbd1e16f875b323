package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"regctl/stack/auth/store"
)

// maxAuditRows bounds one search.
const maxAuditRows = 10_000

// AuditSearch selects audit records; zero fields select everything.
type AuditSearch struct {
	Account  *string   `json:"account,omitempty"`
	Client   string    `json:"client,omitempty"` // address
	Outcomes []Outcome `json:"outcomes,omitempty"`
	Since    time.Time `json:"since,omitzero"` // inclusive
	Until    time.Time `json:"until,omitzero"` // exclusive
	Limit    int       `json:"limit,omitempty"`
}

func outcomes() []Outcome {
	return []Outcome{Granted, Partial, Denied, Refused, Throttled, Busy, BadRequest, Failed, Changed}
}

func (a *admin) searchAudit(ctx context.Context, in AuditSearch) ([]json.RawMessage, error) {
	if a.store == nil {
		return nil, &AdminError{Kind: KindFailed, Message: "this server has no store to search", Hint: "read its audit log: audit.file in the configuration"}
	}
	if in.Limit < 0 || in.Limit > maxAuditRows {
		return nil, usage(fmt.Sprintf("limit %d: want a number from 1 to %d", in.Limit, maxAuditRows))
	}
	if !in.Since.IsZero() && !in.Until.IsZero() && !in.Since.Before(in.Until) {
		return nil, usage("since is not before until")
	}
	q := store.AuditQuery{Account: in.Account, Client: in.Client, Since: in.Since, Until: in.Until, Limit: in.Limit}
	for _, o := range in.Outcomes {
		if !slices.Contains(outcomes(), o) {
			return nil, usage(fmt.Sprintf("outcome %q: want one of %q", o, outcomes()))
		}
		q.Outcomes = append(q.Outcomes, string(o))
	}
	if err := a.audit.sync(ctx); err != nil { // who asks wants to see what just happened
		return nil, err
	}
	rows, err := a.store.SearchAudit(ctx, q)
	if err != nil {
		return nil, err
	}
	records := make([]json.RawMessage, len(rows))
	for i, row := range rows {
		records[i] = row.Record
	}
	return records, nil
}
