package store

import (
	"context"
	"fmt"
	"hash/maphash"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Load implements Store. The collections are read one after another: an edit by
// others meanwhile may be seen in part, until the next Poll.
func (m *Mongo) Load(ctx context.Context) (State, error) {
	state, _, err := m.Poll(ctx, State{})
	return state, err
}

// Poll implements Shared. It reads all documents but decodes them only if they
// are others than those of last.
func (m *Mongo) Poll(ctx context.Context, last State) (State, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var docs documents
	err := m.limited(ctx, func(ctx context.Context) (err error) {
		if err = m.settle(ctx); err == nil {
			docs, err = m.fetch(ctx)
		}
		return err
	})
	if err != nil {
		return State{}, false, m.wrap("reading", err)
	}
	version := docs.version(m.seed)
	if version == last.version {
		return last, false, nil
	}
	state := m.decode(docs)
	state.version = version
	return state, true, nil
}

// documents are all that a State is made of, as they come from the server.
type documents struct {
	users, rules, tokens, refresh []bson.Raw
}

func (m *Mongo) fetch(ctx context.Context) (docs documents, err error) {
	for _, c := range []struct {
		name string
		into *[]bson.Raw
	}{
		{m.opts.Users, &docs.users}, {m.opts.Rules, &docs.rules},
		{tokenCollection, &docs.tokens}, {refreshCollection, &docs.refresh},
	} {
		if c.name == "" {
			continue
		}
		cursor, err := m.collection(c.name).Find(ctx, bson.D{})
		if err != nil {
			return docs, err
		}
		if err := cursor.All(ctx, c.into); err != nil {
			return docs, err
		}
	}
	return docs, nil
}

type hashSeed = maphash.Seed

func newHashSeed() hashSeed { return maphash.MakeSeed() }

// version tells these documents from others. Sums of hashes do not depend on
// the order, in which the server promises nothing.
func (d documents) version(seed hashSeed) string {
	text := ""
	for _, list := range [][]bson.Raw{d.users, d.rules, d.tokens, d.refresh} {
		var sum uint64
		for _, raw := range list {
			sum += maphash.Bytes(seed, raw)
		}
		text += fmt.Sprintf("%d:%x ", len(list), sum)
	}
	return text
}

// decode makes records of documents. Of a user or token that cannot be
// understood, or that is there twice, nothing comes; of such a rule one that
// denies in its place, before all others if it has none.
func (m *Mongo) decode(docs documents) State {
	s := State{Users: map[string]User{}, Rules: map[int64]Rule{}, Tokens: map[string]Token{}, Refresh: map[string]Refresh{}}
	r := refusals{lines: append([]string(nil), m.notes...)}

	twice := map[string]bool{}
	for _, raw := range docs.users {
		u, err := decodeUser(raw, r.unknown(m.opts.Users))
		if _, exists := s.Users[u.Name]; err == nil && (exists || twice[u.Name]) {
			twice[u.Name] = true
			err = fmt.Errorf("another document has username %q: none of them is used", u.Name)
			delete(s.Users, u.Name)
		}
		if err != nil {
			r.add(m.opts.Users, raw, err)
			continue
		}
		s.Users[u.Name] = u
	}
	for _, raw := range docs.rules {
		rule, err := decodeRule(raw, r.unknown(m.opts.Rules))
		if _, exists := s.Rules[rule.Seq]; err == nil && exists {
			err = fmt.Errorf("another document has seq %d", rule.Seq)
		}
		if err != nil {
			r.add(m.opts.Rules, raw, fmt.Errorf("%w: the access list ends here and denies", err))
			rule = Rule{Seq: rule.Seq, Actions: []string{}, Comment: "not understood, so it denies: " + err.Error()}
		}
		s.Rules[rule.Seq] = rule
	}
	for _, raw := range docs.tokens {
		if t, err := decodeToken(raw); err != nil {
			r.add(tokenCollection, raw, err)
		} else {
			s.Tokens[t.ID] = t
		}
	}
	for _, raw := range docs.refresh {
		if t, err := decodeRefresh(raw); err != nil {
			r.add(refreshCollection, raw, err)
		} else {
			s.Refresh[t.ID] = t
		}
	}
	s.Refused = r.lines
	return s
}

// noPlace is the Seq of a rule that has none: first, so that it closes all.
const noPlace = math.MinInt64

// maxRefusals bounds State.Refused.
const maxRefusals = 100

// refusals collect State.Refused.
type refusals struct {
	lines   []string
	ignored map[string]bool // unknown keys that were told, by collection and key
}

func (r *refusals) add(collection string, raw bson.Raw, err error) {
	r.tell(fmt.Sprintf("collection %s, document %s: %v", collection, nameOf(raw), err))
}

func (r *refusals) tell(line string) {
	switch n := len(r.lines); {
	case n < maxRefusals:
		r.lines = append(r.lines, line)
	case n == maxRefusals:
		r.lines = append(r.lines, "and more of the kind")
	}
}

// unknown returns what to do about a key that means nothing: other programs may
// keep things there, so it is told once and no harm.
func (r *refusals) unknown(collection string) func(key string) {
	return func(key string) {
		if id := collection + "." + key; !r.ignored[id] {
			if r.ignored == nil {
				r.ignored = map[string]bool{}
			}
			r.ignored[id] = true
			r.tell(fmt.Sprintf("collection %s: the field %q is ignored", collection, key))
		}
	}
}

// nameOf tells a document from others for people: by its key, or else its _id.
func nameOf(raw bson.Raw) string {
	for _, key := range []string{"username", "seq", "_id"} {
		if v, err := raw.LookupErr(key); err == nil {
			return key + " " + v.String()
		}
	}
	return "without an _id"
}
