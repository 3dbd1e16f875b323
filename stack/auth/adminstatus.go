package auth

import (
	"context"
	"runtime/debug"
	"time"
)

// Status is how the server is.
type Status struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Ready   bool      `json:"ready"`
	Problem string    `json:"problem,omitempty"` // why it is not ready
	// Refused tells which records of the database are of no effect, and why.
	Refused []string `json:"refused,omitempty"`

	// These count what the configuration and the store hold.
	Users         int `json:"users"`
	Rules         int `json:"rules"`
	Tokens        int `json:"tokens"`
	RefreshTokens int `json:"refresh_tokens"`
}

func (a *admin) status(context.Context, nothing) (Status, error) {
	snap := a.current.Load()
	s := Status{
		Version: Version(), Started: a.started.UTC(), Ready: true,
		Users: snap.accounts(), Rules: len(snap.cfg.ACL) + len(snap.state.Rules),
		Tokens: len(snap.state.Tokens), RefreshTokens: len(snap.state.Refresh),
		Refused: snap.refused(),
	}
	if err := a.Ready(); err != nil {
		s.Ready, s.Problem = false, err.Error()
	}
	return s, nil
}

// Version is the version of this program as Go's linker noted it: a tag, a
// pseudo-version of the commit, or (devel).
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
