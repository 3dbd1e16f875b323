package certs

import (
	"context"
	"errors"
	"io/fs"
	"math/big"
	"sync/atomic"
	"testing"

	"regctl/provision/host"
	"regctl/provision/step"
)

const (
	dhPath    = "/srv/certs/live/dhparams.pem"
	dhState   = "/srv/certs/dhparams.state"
	dhForeign = "/etc/ssl/dh.pem"
)

func mode(t *testing.T, text string) DHMode {
	t.Helper()
	m, err := ParseDHMode(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// groupOf is a group of RFC 7919, or one that was searched.
func groupOf(t *testing.T, bits int) *DHParams {
	t.Helper()
	group, err := RFC7919(bits)
	if err != nil {
		group, err = Search(t.Context(), SearchOptions{Bits: bits})
	}
	if err != nil {
		t.Fatal(err)
	}
	return group
}

func TestDHParams(t *testing.T) {
	t.Parallel()
	m := newHost(t)
	if name := NewDHParams(DHMode{}, dhPath).Name(); name != "dhparams" {
		t.Error(name)
	}
	is := func(bits int) {
		t.Helper()
		if got := string(get(t, m, dhPath)); got != string(groupOf(t, bits).Encode()) {
			t.Errorf("the file has not ffdhe%d: %s", bits, got)
		}
		if info, err := m.Stat(dhPath); err != nil || info.Mode != 0o644 {
			t.Errorf("%v, %v", info.Mode, err)
		}
	}
	converge(t, m, NewDHParams(mode(t, "own:2048"), dhPath), "create: no file "+dhPath)
	is(2048)
	converge(t, m, NewDHParams(mode(t, "own"), dhPath), "keep: "+dhPath) // for the start any will do
	converge(t, m, NewDHParams(mode(t, "rfc7919"), dhPath), "update: "+dhPath+" differs from group ffdhe4096 of RFC 7919")
	is(4096)
	put(t, m, dhPath, 0o600, get(t, m, dhPath))
	converge(t, m, NewDHParams(mode(t, "rfc7919"), dhPath), "update: "+dhPath+" has mode 0600, not 0644")
	put(t, m, dhPath, 0o600, []byte("x"))
	converge(t, m, NewDHParams(mode(t, "own:3072"), dhPath), "update: "+dhPath+" holds no PEM block (a line -----BEGIN …-----)")
	is(3072)

	own := groupOf(t, 256).Encode()
	put(t, m, dhPath, 0o600, own)
	converge(t, m, NewDHParams(mode(t, "own"), dhPath), "update: "+dhPath+" has mode 0600, not 0644")
	if string(get(t, m, dhPath)) != string(own) {
		t.Error("the own group was replaced")
	}
}

func TestDHParamsOfTheOperator(t *testing.T) {
	t.Parallel()
	m := newHost(t)
	s := NewDHParams(mode(t, dhForeign), dhPath)
	refused := func(want string) {
		t.Helper()
		if got := check(t, s, m.Looker()); got != "error: "+want {
			t.Errorf("got %s, want %s", got, want)
		}
		if err := s.Apply(t.Context(), m); err == nil || err.Error() != want {
			t.Errorf("apply: got %v, want %s", err, want)
		}
	}
	refused("group: open " + dhForeign + ": file does not exist")
	put(t, m, dhForeign, 0o644, []byte("x"))
	refused("group " + dhForeign + ": holds no PEM block (a line -----BEGIN …-----)")
	put(t, m, dhForeign, 0o644, groupOf(t, 256).Encode())
	refused("group " + dhForeign + ": the group has 256 bits; clients and OpenSSL refuse less than 2048")
	put(t, m, dhForeign, 0o644, (&DHParams{new(big.Int).Lsh(big.NewInt(1), 2047), big.NewInt(2)}).Encode())
	refused("group " + dhForeign + ": p is not prime")
	if found, err := host.Exists(m, dhPath); found || err != nil {
		t.Errorf("a refused group was copied: %t, %v", found, err)
	}
	put(t, m, dhForeign, 0o644, groupOf(t, 2048).Encode())
	converge(t, m, s, "create: no file "+dhPath)
	converge(t, m, s, "keep: "+dhPath)
	put(t, m, dhForeign, 0o644, groupOf(t, 3072).Encode())
	converge(t, m, s, "update: "+dhPath+" differs from "+dhForeign)
}

// dhIntact says whether there is no group, or a whole one.
func dhIntact(l host.Looker) error {
	f, err := l.ReadFile(dhPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	group, err := ParseDH(f.Content)
	if err != nil || group.WellKnown() {
		return err
	}
	return group.checkSafe()
}

func TestOwnDH(t *testing.T) {
	t.Parallel()
	m := newHost(t)
	var reloads atomic.Int32
	down := errors.New("nginx refuses")
	broken := true
	s := NewOwnDH(dhPath, dhState, 256, func(context.Context, host.Machine) error {
		reloads.Add(1)
		if broken {
			return down
		}
		return nil
	})
	if s.Name() != "own-dhparams" {
		t.Error(s.Name())
	}
	if got := check(t, s, m.Looker()); got != "create: no file "+dhPath {
		t.Error(got)
	}
	if err := NewDHParams(mode(t, "own:2048"), dhPath).Apply(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if got := check(t, s, m.Looker()); got != "create: "+dhPath+" has the group ffdhe2048 of RFC 7919, not one of its own" {
		t.Error(got)
	}

	// A group that nginx has not loaded is not done, and not searched again.
	if err := s.Apply(t.Context(), m); !errors.Is(err, down) {
		t.Fatal(err)
	}
	group := string(get(t, m, dhPath))
	if info, err := m.Stat(dhState); err != nil || info.Mode != 0o600 {
		t.Errorf("the state: %v, %v", info.Mode, err)
	}
	if got := check(t, s, m.Looker()); got != "create: an own group of 256 bits is unfinished in "+dhState {
		t.Error(got)
	}
	broken = false
	if err := s.Apply(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if string(get(t, m, dhPath)) != group || reloads.Load() != 2 {
		t.Errorf("another group was searched, or not %d reloads", reloads.Load())
	}
	if found, err := host.Exists(m, dhState); found || err != nil {
		t.Errorf("the state is left: %t, %v", found, err)
	}
	converge(t, m, s, "keep: "+dhPath+" has an own group of 256 bits")
	converge(t, m, NewOwnDH(dhPath, dhState, 0, nobody), "keep: "+dhPath+" has an own group of 256 bits")
	converge(t, m, NewDHParams(mode(t, "own"), dhPath), "keep: "+dhPath)

	converge(t, m, NewOwnDH(dhPath, dhState, 192, nobody), "update: the own group has 256 bits, not 192")
	put(t, m, dhPath, 0o644, []byte("x"))
	converge(t, m, s, "update: "+dhPath+" holds no PEM block (a line -----BEGIN …-----)")
	put(t, m, dhState, 0o600, []byte(`{"bits":256,"start":1}`)) // damaged: it begins anew
	converge(t, m, s, "create: an own group of 256 bits is unfinished in "+dhState)
}

func TestOwnDHSurvivesCrashes(t *testing.T) {
	t.Parallel()
	pullAll(t, NewOwnDH(dhPath, dhState, 192, nobody), func(t *testing.T) host.Machine {
		m := newHost(t)
		put(t, m, dhPath, 0o644, groupOf(t, 2048).Encode())
		return m
	}, dhIntact)
}

func TestOwnDHIsInterrupted(t *testing.T) {
	t.Parallel()
	m := newHost(t)
	ctx, stop := context.WithCancel(t.Context())
	var reports atomic.Int32
	ctx = step.WithProgress(ctx, func(p step.Progress) {
		reports.Add(1)
		if p.Total != 1000 || p.Text == "" {
			t.Errorf("%+v", p)
		}
		stop()
	})
	s := NewOwnDH(dhPath, dhState, 4096, nobody)
	err := s.Apply(ctx, m)
	if !errors.Is(err, context.Canceled) || reports.Load() == 0 {
		t.Errorf("%v after %d reports", err, reports.Load())
	}
	before := parseState(get(t, m, dhState), 4096)
	if before == nil {
		t.Fatalf("the state is %s", get(t, m, dhState))
	}
	if err := s.Apply(ctx, m); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if after := parseState(get(t, m, dhState), 4096); after == nil || after.Start.Cmp(before.Start) != 0 || after.Elapsed <= before.Elapsed {
		t.Errorf("it did not go on: %+v, %+v", before, after)
	}
}
