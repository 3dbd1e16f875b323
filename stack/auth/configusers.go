package auth

import (
	"maps"
	"regexp"
	"slices"
	"time"

	"golang.org/x/crypto/bcrypt"

	"regctl/stack/auth/store"
)

func (c *checker) users(u *usersYAML) error {
	if u.null {
		err := c.refuse(at("users", ""), `users: an unquoted null or ~ is the name "", the anonymous user: write "" if that is meant, or quote the name`)
		if err != nil {
			return err
		}
	}
	if u.entries == nil {
		return nil
	}
	c.cfg.Users = make(map[string]StaticUser, len(u.entries))
	for _, name := range slices.Sorted(maps.Keys(u.entries)) {
		place, entry := at("users", name), u.entries[name]
		if entry == nil {
			c.warnf(place, "%s: an entry with nothing in it is ignored", place)
			continue
		}
		user, err := c.user(place, name, entry)
		if err != nil {
			return err
		}
		c.cfg.Users[name] = user
	}
	return nil
}

func (c *checker) user(place keyPath, name string, s *section[userYAML]) (StaticUser, error) {
	u := &s.v
	if err := refuseUnknown(c, place, s); err != nil {
		return StaticUser{}, err
	}
	if err := c.password(place, name, s); err != nil {
		return StaticUser{}, err
	}
	if err := noBlank(c, place, s, "disabled"); err != nil {
		return StaticUser{}, err
	}
	window, err := window(c, place, s, u.NotBefore, u.Expires)
	return StaticUser{
		PasswordHash: u.Password,
		Labels:       u.Labels,
		Disabled:     u.Disabled != nil && *u.Disabled,
		Window:       window,
	}, err
}

// password refuses what lets everybody or nobody in. Only the anonymous user
// has no password by design. No message has the password's text.
func (c *checker) password(place keyPath, name string, s *section[userYAML]) error {
	hash := s.v.Password
	_, written := s.keys["password"]
	p := place.child("password")
	switch {
	case hash == nil && written:
		return c.refuse(p, "%s is blank, so every password is accepted: give a bcrypt hash (htpasswd -nB NAME)", p)
	case hash == nil && name != "":
		return c.refuse(place, "%s has no password, so every password is accepted: give a bcrypt hash (htpasswd -nB NAME)", place)
	case hash != nil && !isBcrypt(*hash):
		return c.refuse(p, "%s is not a bcrypt hash, so no password is accepted: make one with htpasswd -nB NAME", p)
	case hash != nil && hashCost(*hash) > maxHashCost:
		return c.refuse(p, "%s has bcrypt cost %d, so each guess keeps a core busy for seconds (at most %d): make one with htpasswd -nB -C 10 NAME", p, hashCost(*hash), maxHashCost)
	}
	return nil
}

// bcryptForm is version, cost, salt and hash. Package bcrypt does not look at
// what follows.
var bcryptForm = regexp.MustCompile(`^\$2[^$]?\$\d\d\$[./A-Za-z0-9]{53}`)

// isBcrypt reports whether some password matches the hash.
func isBcrypt(hash string) bool { return hashCost(hash) > 0 && bcryptForm.MatchString(hash) }

// hashCost returns the cost of a bcrypt hash, 0 if it is none.
func hashCost(hash string) int {
	cost, err := bcrypt.Cost([]byte(hash))
	if err != nil {
		return 0
	}
	return cost
}

// noBlank is an error for keys of ours with no value: left blank by a template
// they would mean no limit.
func noBlank[T any](c *checker, place keyPath, s *section[T], keys ...string) error {
	for _, key := range s.blank() {
		if slices.Contains(keys, key) {
			p := place.child(key)
			return c.errorf(p, "%s is blank: give a value or leave the key out", p)
		}
	}
	return nil
}

// window reads the dates of a user or rule.
func window[T any](c *checker, place keyPath, s *section[T], notBefore, expires *string) (w store.Window, err error) {
	if err := noBlank(c, place, s, "not_before", "expires"); err != nil {
		return w, err
	}
	zone := c.opts.Location
	if zone == nil {
		zone = time.Local
	}
	if notBefore != nil {
		p := place.child("not_before")
		if w.NotBefore, err = ParseNotBeforeDate(*notBefore, zone); err != nil {
			return w, c.errorf(p, "%s: %w", p, err)
		}
	}
	if expires != nil {
		p := place.child("expires")
		if w.Expires, err = ParseExpiresDate(*expires, zone); err != nil {
			return w, c.errorf(p, "%s: %w", p, err)
		}
		if !w.NotBefore.Before(w.Expires) {
			return w, c.errorf(p, "%s is not after not_before", p)
		}
	}
	return w, nil
}
