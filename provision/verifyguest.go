package provision

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"regctl/provision/host"
	"regctl/stack/auth"
	"regctl/stack/auth/store"
)

const (
	guestPrefix  = "regctl-verify-"
	guestComment = "regctl verify"
	// guestLife bounds what a killed run leaves behind.
	guestLife = 5 * time.Minute

	// The repositories are always the same: a registry lists in its catalog
	// whatever was pushed to once, for ever.
	firstRepo  = "regctl-verify/first"
	secondRepo = "regctl-verify/second"
	guestRepos = "regctl-verify/*"
	// deniedRepo may be read, so that it is the push that is refused, and that
	// one can see that nothing came of it.
	deniedRepo = "regctl-verify-denied"
)

// guest is an account for one run, with its access rules.
type guest struct {
	id       string
	password host.Secret
	ends     time.Time
	firstSeq int64 // of its rules

	// made is true as soon as there may be something to remove.
	made   bool
	pushed map[string]bool // repositories that may have its tag
}

func newGuest(now time.Time) guest {
	return guest{
		id:       strings.ToLower(rand.Text()[:12]),
		password: host.NewSecret(rand.Text()),
		ends:     now.Add(guestLife),
		// Rules below 0 come before all others. Runs at the same time must not
		// meet, so they begin at random.
		firstSeq: -3 * (1 + mathrand.Int64N(300_000_000)),
		pushed:   map[string]bool{},
	}
}

func (g *guest) name() string { return guestPrefix + g.id }

// tag is of the image it pushes. It tells whose it is.
func (g *guest) tag() string { return g.name() }

// rules let the guest work in its repositories and do nothing else, whatever the
// rules of the installation are.
func (g *guest) rules() []auth.NewRule {
	account, kind, own, readable := g.name(), "repository", guestRepos, deniedRepo
	rules := []auth.NewRule{
		{Match: store.Match{Account: &account, Type: &kind, Name: &own}, Actions: []string{"*"}},
		{Match: store.Match{Account: &account, Type: &kind, Name: &readable}, Actions: []string{"pull"}},
		{Match: store.Match{Account: &account}, Actions: []string{}},
	}
	for i := range rules {
		seq := g.firstSeq + int64(i)
		rules[i].Seq, rules[i].Comment, rules[i].Expires = &seq, guestComment, g.ends
	}
	return rules
}

// create makes the account after its rules: it never has other rights. It is not
// interrupted, so that what it has made is known.
func (g *guest) create(ctx context.Context, admin *auth.Client) error {
	ctx = context.WithoutCancel(ctx)
	g.made = true
	for _, r := range g.rules() {
		if _, err := admin.AddRule(ctx, r); err != nil {
			return fmt.Errorf("making a temporary rule: %w", err)
		}
	}
	// A password of 130 random bits cannot be guessed, however fast that goes.
	hash, err := bcrypt.GenerateFromPassword([]byte(g.password.Reveal()), bcrypt.MinCost)
	if err != nil {
		return err
	}
	u := auth.NewUser{Name: g.name(), PasswordHash: string(hash), Comment: guestComment, Window: store.Window{Expires: g.ends}}
	if _, err := admin.AddUser(ctx, u); err != nil {
		return fmt.Errorf("making a temporary account: %w", err)
	}
	return nil
}

// mayRemoveDenied lets the guest remove what should never have been accepted.
func (g *guest) mayRemoveDenied() auth.RuleEdit {
	return auth.RuleEdit{Seq: g.firstSeq + 1, Actions: &[]string{"*"}}
}
