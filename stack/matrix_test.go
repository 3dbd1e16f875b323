package stack

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"regctl/stack/auth"
)

// have fails in CI when something is missing; elsewhere it says so and goes on
// with the rest.
func have[T any](t *testing.T, list []T, missing []string) []T {
	t.Helper()
	for _, m := range missing {
		if os.Getenv("CI") != "" {
			t.Errorf("not tested: %s", m)
		} else {
			t.Run("missing", func(t *testing.T) { t.Skipf("not tested: %s", m) })
		}
	}
	return list
}

// TestClients plays the article's scenario with every client against every
// registry: login, push, mount, denied push, pull by digest, delete.
func TestClients(t *testing.T) {
	image := newImage(t)
	cs, missing := clients(t, image)
	cs = have(t, cs, missing)
	kinds, missing := registries()
	for _, kind := range have(t, kinds, missing) {
		token, bundle := leaves(t)
		s := newSetup(t, kind, token, bundle)
		for _, c := range cs {
			t.Run(kind.name+"/"+c.name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				scenario(t, ctx, s, c, image)
			})
		}
	}
}

func scenario(t *testing.T, ctx context.Context, s *setup, c client, image *testImage) {
	admin := goContainerRegistry(image)
	repo := func(prefix string) string { return s.addr + "/" + prefix + "/" + c.name }
	exists := func(ref string) bool {
		_, err := remote.Head(parse(t, ref), remote.WithContext(ctx), remote.WithAuth(basicAuth(waldi)))
		return err == nil
	}
	if c.login != nil {
		if err := c.login(t, ctx, s.addr, waldi); err != nil {
			t.Fatalf("login: %v", err)
		}
		wantError(t, "login with a wrong password", c.login(t, ctx, s.addr, account{waldi.user, "wrong"}), "unauthorized", "auth failed", "invalid username/password")
	}
	if err := c.push(t, ctx, repo("test")+":latest", waldi); err != nil {
		t.Fatalf("push: %v", err)
	}
	digest, err := remote.Head(parse(t, repo("test")+":latest"), remote.WithAuth(basicAuth(waldi)))
	if err != nil {
		t.Fatalf("what was pushed is not there: %v", err)
	}
	byDigest := repo("test") + "@" + digest.Digest.String()
	if c.copyTo != nil {
		before := s.mounts.Load()
		if err := c.copyTo(t, ctx, repo("test")+":latest", repo("socken")+":latest", waldi); err != nil {
			t.Fatalf("push elsewhere: %v", err)
		}
		if n := s.mounts.Load() - before; n < 2 {
			t.Errorf("%d layers mounted, want 2", n)
		}
	}
	wantError(t, "push without the right", c.push(t, ctx, repo("other")+":latest", waldi), "denied", "unauthorized", "insufficient_scope")
	if exists(repo("other") + ":latest") {
		t.Error("a denied push is there")
	}
	if err := c.pull(t, ctx, byDigest, waldi); err != nil {
		t.Fatalf("pull by digest: %v", err)
	}
	wantError(t, "pull with a wrong password", c.pull(t, ctx, byDigest, account{waldi.user, "wrong"}), "unauthorized", "auth failed", "401", "invalid username/password")
	remove := c.delete
	if remove == nil { // this client has no such command
		remove = admin.delete
	}
	if err := remove(t, ctx, byDigest, waldi); err != nil {
		t.Fatalf("delete: %v", err)
	}
	if exists(byDigest) {
		t.Error("what was deleted is still there")
	}
}

func wantError(t *testing.T, what string, err error, anyOf ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s succeeded", what)
		return
	}
	text := strings.ToLower(err.Error())
	for _, s := range anyOf {
		if strings.Contains(text, s) {
			return
		}
	}
	t.Errorf("%s: %v; want one of %q", what, err, anyOf)
}

// TestSigning is the matrix of key kinds, key ids and registry versions. A
// certificate that is valid goes into the token and every registry takes it; an
// expired one is known by its key id only, where registries differ.
func TestSigning(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec, zero := ecKey(t), keyWithZero(t)
	rows := []struct {
		name       string
		key        any
		expired    bool
		thumbprint bool
		noX5C      bool
		v2, v3     bool
	}{
		{"RSA", rsaKey, false, false, false, true, true},
		{"RSA thumbprint", rsaKey, false, true, false, true, true},
		{"EC", ec, false, false, false, true, true},
		{"EC thumbprint", ec, false, true, false, true, true},
		{"RSA expired", rsaKey, true, false, false, true, false},
		{"RSA expired thumbprint", rsaKey, true, true, false, false, true},
		{"EC expired", ec, true, false, false, true, false},
		{"EC expired thumbprint", ec, true, true, false, false, true},
		{"EC with a zero octet, expired, thumbprint", zero, true, true, false, false, true},
		{"EC without x5c", ec, false, false, true, true, false},
		{"EC without x5c, thumbprint", ec, false, true, true, false, true},
	}
	kinds, missing := registries()
	for _, kind := range have(t, kinds, missing) {
		for _, row := range rows {
			t.Run(kind.name+"/"+row.name, func(t *testing.T) {
				p, bundle := pair(t, row.key, row.expired)
				s := newSetup(t, kind, auth.TokenConfig{Pair: p, DisableLegacyKeyID: row.thumbprint, X5C: !row.noX5C}, bundle)
				want := row.v3
				if kind.name == "registry 2.8" {
					want = row.v2
				}
				image := newImage(t)
				err := goContainerRegistry(image).push(t, t.Context(), s.addr+"/test/a:latest", waldi)
				if (err == nil) != want {
					t.Errorf("push: %v, want success %v", err, want)
				}
			})
		}
	}
}
