package store

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// The key of a field of labels stands for that of a label. Servers refuse dots
// and dollars in keys (MongoDB before 5.0), and BSON zero bytes.
func labelField(key string) string {
	return strings.NewReplacer("%", "%25", ".", "%2E", "$", "%24", "\x00", "%00").Replace(key)
}

func labelKey(field string) string {
	return strings.NewReplacer("%25", "%", "%2E", ".", "%24", "$", "%00", "\x00").Replace(field)
}

// eachField calls f for the fields of a document. Its error names the field.
func eachField(raw bson.Raw, f func(key string, v bson.RawValue) error) error {
	elements, err := raw.Elements()
	if err != nil {
		return err
	}
	seen := make(map[string]bool, len(elements))
	for _, e := range elements {
		key := e.Key()
		if seen[key] {
			return fmt.Errorf("the field %s is there twice", key)
		}
		seen[key] = true
		if err := f(key, e.Value()); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// decodeUser reads docker_auth's document: username, password, labels; and our
// fields disabled, comment, created, not_before and expires.
func decodeUser(raw bson.Raw, unknown func(key string)) (u User, err error) {
	named := false
	err = eachField(raw, func(key string, v bson.RawValue) (err error) {
		switch key {
		case "_id":
		case "username":
			named = true
			u.Name, err = text(v)
		case "password":
			// docker_auth takes a null, like a missing one, for "any password will do".
			if v.Type != bson.TypeNull {
				u.PasswordHash, err = text(v)
			}
		case "labels":
			u.Labels, err = labelLists(v)
		case "disabled":
			u.Disabled, err = boolean(v)
		case "comment":
			u.Comment, err = text(v)
		case "created":
			u.Created, err = moment(v)
		case "not_before":
			u.NotBefore, err = moment(v)
		case "expires":
			u.Expires, err = moment(v)
		default:
			unknown(key)
		}
		return err
	})
	if err == nil && !named {
		err = errors.New("username is missing")
	}
	return u, err
}

// decodeRule reads docker_auth's document: seq, match, actions, comment; and our
// not_before and expires. Of a faulty one it returns at least the place.
func decodeRule(raw bson.Raw, unknown func(key string)) (r Rule, err error) {
	r.Seq = noPlace
	matched := false
	if v, err := raw.LookupErr("seq"); err != nil {
		return r, errors.New("seq is missing")
	} else if r.Seq, err = whole(v); err != nil {
		return Rule{Seq: noPlace}, fmt.Errorf("seq: %w", err)
	}
	err = eachField(raw, func(key string, v bson.RawValue) (err error) {
		switch key {
		case "_id", "seq":
		case "match":
			matched = true
			r.Match, err = match(v)
		case "actions":
			r.Actions, err = texts(v)
		case "comment":
			r.Comment, err = text(v)
		case "not_before":
			r.NotBefore, err = moment(v)
		case "expires":
			r.Expires, err = moment(v)
		default:
			unknown(key)
		}
		return err
	})
	if err == nil && !matched {
		err = errors.New("match is missing: {} holds for everything")
	}
	return r, err
}

// match reads conditions. One that is not known or null would widen the rule.
func match(v bson.RawValue) (m Match, err error) {
	doc, ok := v.DocumentOK()
	if !ok {
		return m, mistyped(v, "a document")
	}
	conditions := map[string]**string{
		"account": &m.Account, "type": &m.Type, "name": &m.Name, "service": &m.Service, "ip": &m.IP,
	}
	err = eachField(doc, func(key string, v bson.RawValue) error {
		if key == "labels" {
			m.Labels, err = labelPatterns(v)
			return err
		}
		condition, ok := conditions[key]
		if !ok {
			return errors.New("is no condition (account, type, name, service, ip, labels)")
		}
		pattern, err := text(v)
		*condition = &pattern
		return err
	})
	return m, err
}

// labelLists reads {KEY: [VALUE, …]}; one value may stand without a list.
func labelLists(v bson.RawValue) (map[string][]string, error) {
	return labels(v, func(v bson.RawValue) ([]string, error) {
		if v.Type == bson.TypeString {
			value, err := text(v)
			return []string{value}, err
		}
		return texts(v)
	})
}

func labelPatterns(v bson.RawValue) (map[string]string, error) { return labels(v, text) }

func labels[V any](v bson.RawValue, value func(bson.RawValue) (V, error)) (map[string]V, error) {
	doc, ok := v.DocumentOK()
	if !ok {
		return nil, mistyped(v, "a document")
	}
	all := map[string]V{}
	err := eachField(doc, func(field string, v bson.RawValue) (err error) {
		key := labelKey(field)
		if _, exists := all[key]; exists {
			return fmt.Errorf("the label %s is there twice", key)
		}
		all[key], err = value(v)
		return err
	})
	return all, err
}

func decodeToken(raw bson.Raw) (t Token, err error) {
	err = eachField(raw, func(key string, v bson.RawValue) (err error) {
		switch key {
		case "_id":
			t.ID, err = text(v)
		case "username":
			t.User, err = text(v)
		case "name":
			t.Name, err = text(v)
		case "hash":
			t.Hash, err = binary(v)
		case "scopes":
			t.Scopes, err = texts(v)
		case "created":
			t.Created, err = moment(v)
		case "last_used":
			t.LastUsed, err = moment(v)
		case "not_before":
			t.NotBefore, err = moment(v)
		case "expires":
			t.Expires, err = moment(v)
		default: // a limit that this version does not know
			err = errors.New("is no field of a token")
		}
		return err
	})
	return t, err
}

func decodeRefresh(raw bson.Raw) (t Refresh, err error) {
	err = eachField(raw, func(key string, v bson.RawValue) (err error) {
		switch key {
		case "_id":
			t.ID, err = text(v)
		case "username":
			t.User, err = text(v)
		case "service":
			t.Service, err = text(v)
		case "client_id":
			t.ClientID, err = text(v)
		case "hash":
			t.Hash, err = binary(v)
		case "created":
			t.Created, err = moment(v)
		case "last_used":
			t.LastUsed, err = moment(v)
		case "expires":
			t.Expires, err = moment(v)
		default:
			err = errors.New("is no field of a refresh token")
		}
		return err
	})
	return t, err
}

// mistyped is the fault of a value. It does not show the value: that of a
// password may be one.
func mistyped(v bson.RawValue, want string) error {
	return fmt.Errorf("is a value of type %s, want %s", v.Type, want)
}

func text(v bson.RawValue) (string, error) {
	s, ok := v.StringValueOK()
	if !ok {
		return "", mistyped(v, "a string")
	}
	return s, nil
}

func texts(v bson.RawValue) ([]string, error) {
	list, ok := v.ArrayOK()
	if !ok {
		return nil, mistyped(v, "a list of strings")
	}
	values, err := list.Values()
	if err != nil {
		return nil, err
	}
	all := make([]string, len(values))
	for i, value := range values {
		if all[i], err = text(value); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func boolean(v bson.RawValue) (bool, error) {
	b, ok := v.BooleanOK()
	if !ok {
		return false, mistyped(v, "true or false")
	}
	return b, nil
}

// moment reads a date. Null is a fault: it would be no limit.
func moment(v bson.RawValue) (time.Time, error) {
	ms, ok := v.DateTimeOK()
	if !ok {
		return time.Time{}, mistyped(v, `a date: ISODate("2027-01-31")`)
	}
	return time.UnixMilli(ms).UTC(), nil
}

// whole reads an integer. The old mongo shell writes every number as a double.
func whole(v bson.RawValue) (int64, error) {
	if f, ok := v.DoubleOK(); ok {
		if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			return 0, fmt.Errorf("%v is no whole number", f)
		}
		return int64(f), nil
	}
	if n, ok := v.Int32OK(); ok {
		return int64(n), nil
	}
	n, ok := v.Int64OK()
	if !ok {
		return 0, mistyped(v, "a whole number")
	}
	return n, nil
}

func binary(v bson.RawValue) ([]byte, error) {
	_, data, ok := v.BinaryOK()
	if !ok {
		return nil, mistyped(v, "binary data")
	}
	return data, nil
}
