package auth

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"regctl/stack/auth/store"
)

const (
	maxName       = 128  // bytes, of users and tokens
	maxLabelValue = 256  // bytes
	maxComment    = 1024 // bytes
	maxPattern    = 4096 // bytes
	maxSeq        = 1_000_000_000
	// maxHashCost bounds what each login may cost: two seconds of a core.
	maxHashCost = 15
	// maxPassword is all that bcrypt looks at; it would ignore what follows.
	maxPassword = 72 // bytes
)

// CheckUserName refuses what an account cannot log in with, or what could be
// taken for another account. The error is an *AdminError.
func CheckUserName(name string) error {
	if err := checkName("user name", name); err != nil {
		return err
	}
	if strings.Contains(name, ":") {
		return usage(fmt.Sprintf("user name %q: a colon ends the user name in a login (RFC 7617)", name))
	}
	return nil
}

func checkName(what, name string) error {
	switch {
	case name == "":
		return usage(what + " is empty")
	case len(name) > maxName:
		return usage(fmt.Sprintf("%s is longer than %d bytes", what, maxName))
	case !printable(name):
		return usage(fmt.Sprintf("%s %q: only printable characters are allowed", what, name))
	case strings.TrimSpace(name) != name:
		return usage(fmt.Sprintf("%s %q: begins or ends with a space", what, name))
	}
	return nil
}

func checkComment(comment string) error {
	switch {
	case len(comment) > maxComment:
		return usage(fmt.Sprintf("comment is longer than %d bytes", maxComment))
	case !printable(comment):
		return usage("comment: only printable characters are allowed")
	}
	return nil
}

// printable refuses control and invisible characters, and what JSON makes of
// bytes that are not UTF-8.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) })
}

// checkWindow refuses dates that leave no time, and an end that has passed.
func checkWindow(w store.Window, now time.Time) error {
	switch {
	case w.Over(now):
		return usage(fmt.Sprintf("expires %s: has passed already", stamp(w.Expires)))
	case !w.NotBefore.IsZero() && w.Over(w.NotBefore):
		return usage(fmt.Sprintf("not_before %s: is not before expires %s", stamp(w.NotBefore), stamp(w.Expires)))
	}
	return nil
}

// checkActions refuses what no client asks for.
func checkActions(actions []string) error {
	for _, action := range actions {
		if action == "" || strings.ContainsFunc(action, func(r rune) bool { return r != '*' && (r < 'a' || r > 'z') }) {
			return usage(fmt.Sprintf("action %q: want a word such as pull, push, delete, or *", action))
		}
		if action == "*" && len(actions) > 1 {
			return usage(fmt.Sprintf("actions %s: * stands for all actions only when it is alone", strings.Join(actions, ",")))
		}
	}
	return nil
}

// checkTokenScopes refuses scopes that cannot be read and those that grant
// nothing.
func checkTokenScopes(scopes []string) error {
	for _, text := range scopes {
		if _, err := parseLimits([]string{text}); err != nil {
			return usage(err.Error())
		}
		sc, err := parseScope(text)
		if err == nil {
			err = checkActions(sc.actions)
		}
		if err == nil && sc.name == "" {
			err = errors.New("the name is empty")
		}
		if err != nil {
			return usage(fmt.Sprintf("scope %q: %v", text, err))
		}
	}
	return nil
}

// hashNew returns what to keep of a new password: its bcrypt hash, or the hash
// that was given instead (a line of htpasswd -B).
func hashNew(password, hash string) (string, error) {
	switch {
	case password != "" && hash != "":
		return "", usage("a password and a password hash were given")
	case hash != "":
		return hash, checkHash(hash)
	case strings.TrimSpace(password) == "":
		return "", usage("password is blank")
	case strings.ContainsFunc(password, func(r rune) bool { return r == utf8.RuneError || unicode.IsControl(r) }):
		return "", usage("password contains a control character or is not UTF-8: a login cannot carry it (RFC 7617)")
	case len(password) > maxPassword:
		return "", usage(fmt.Sprintf("password is longer than %d bytes: bcrypt would ignore the rest", maxPassword))
	}
	made, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	return string(made), err
}

// hashLength is that of a bcrypt hash: version, cost, and 53 characters of salt
// and sum. Package bcrypt ignores what follows them.
const hashLength = 60

func checkHash(hash string) error {
	if !isBcrypt(hash) || len(hash) != hashLength {
		return usage("password hash is not a bcrypt hash ($2a$, $2b$ or $2y$)")
	}
	switch cost := hashCost(hash); {
	case cost > maxHashCost:
		return usage(fmt.Sprintf("password hash has cost %d: each login would take seconds (at most %d)", cost, maxHashCost))
	case bcrypt.CompareHashAndPassword([]byte(hash), nil) == nil:
		return usage("password hash is that of a blank password")
	}
	return nil
}
