package provision

import (
	"context"
	"fmt"
	"net/http"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"regctl/provision/step"
	"regctl/stack/auth"
)

// proofLimit is how long one proof may take, and the clean-up.
const proofLimit = 30 * time.Second

// Proof is something that an installation was seen to do, or not to do.
type Proof struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Skipped says that there was nothing to try. A proof is OK, or skipped, or failed.
	Skipped bool   `json:"skipped,omitempty"`
	Seen    string `json:"seen"`           // what was seen, or what is wrong
	Hint    string `json:"hint,omitempty"` // what to do, when it failed
	// Took is in nanoseconds in JSON.
	Took time.Duration `json:"took"`
}

// String is the proof on one line: "push: an image of two layers".
func (p Proof) String() string { return p.Name + ": " + p.Seen }

// VerifyError is a proof that failed.
type VerifyError struct {
	Proof string
	Err   error
	Hint  string // what to do, if known
}

func (e *VerifyError) Error() string { return e.Proof + ": " + e.Err.Error() }
func (e *VerifyError) Unwrap() error { return e.Err }

// skipped is the result of a proof that has nothing to try.
type skipped struct{ why string }

func (s skipped) Error() string { return s.why }

// Verify proves an installation by being its user, through its public names:
// redirect, certificate, challenge, login, push, pull, mount, denied, clean-up,
// in this order. The first that fails ends it, with a [*VerifyError]; proofs
// are then those so far, the failed one last.
//
// It works with an account and access rules of its own, which it makes through
// the admin socket, which end after five minutes, and which are removed however
// it ends. What is left is the blobs of the image that it pushed, for the
// registry's garbage collection.
func Verify(ctx context.Context, t Target) ([]Proof, error) {
	v, err := newVerification(t)
	if err != nil {
		return nil, err
	}
	defer v.transport.CloseIdleConnections()
	proofs, err := v.proveAll(ctx)
	// What was made goes also when the user is not there any more to see it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), proofLimit)
	defer cancel()
	if err != nil {
		if _, left := v.removeGuest(ctx); left != nil {
			err = fmt.Errorf("%w; and then, cleaning up: %w", err, left)
		}
		return proofs, err
	}
	last, err := v.prove(ctx, "clean-up", v.cleanUp)
	return append(proofs, last), err
}

// verification is one run of Verify.
type verification struct {
	Target
	transport *http.Transport
	client    *http.Client
	admin     *auth.Client
	guest     guest
	image     v1.Image
	proven    int // proofs that are done
}

// allProofs is their number, for whoever watches.
const allProofs = 9

func newVerification(t Target) (*verification, error) {
	transport, err := t.transport()
	if err != nil {
		return nil, err
	}
	image, err := newImage()
	if err != nil {
		return nil, err
	}
	return &verification{
		Target: t, transport: transport, image: image, guest: newGuest(time.Now()),
		client: &http.Client{Transport: transport, CheckRedirect: asIs},
		admin:  auth.NewClient(t.AdminSocket),
	}, nil
}

// proveAll runs the proofs but the last.
func (v *verification) proveAll(ctx context.Context) (proofs []Proof, err error) {
	all := []struct {
		name string
		run  func(context.Context) (string, error)
	}{
		{"redirect", v.redirect},
		{"certificate", v.certificate},
		{"challenge", v.challenge},
		{"login", v.login},
		{"push", v.push},
		{"pull", v.pull},
		{"mount", v.mount},
		{"denied", v.denied},
	}
	for _, p := range all {
		proof, err := v.prove(ctx, p.name, p.run)
		if proofs = append(proofs, proof); err != nil {
			return proofs, err
		}
	}
	return proofs, nil
}

// prove runs one proof, and tells whoever watches.
func (v *verification) prove(ctx context.Context, name string, run func(context.Context) (string, error)) (Proof, error) {
	step.Report(ctx, step.Progress{Text: "proving " + name, Done: int64(v.proven), Total: allProofs})
	start := time.Now()
	limited, cancel := context.WithTimeout(ctx, proofLimit)
	defer cancel()
	seen, err := run(limited)
	p := Proof{Name: name, OK: err == nil, Seen: seen, Took: time.Since(start)}
	if skip, ok := err.(skipped); ok {
		p.Skipped, p.Seen, err = true, "not proven: "+skip.why, nil
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case limited.Err() != nil:
		err = fmt.Errorf("no end within %s: %w", proofLimit, err)
	}
	if err != nil {
		p.Seen, p.Hint = err.Error(), v.hint(err)
		err = &VerifyError{name, err, p.Hint}
	}
	v.proven++
	step.Report(ctx, step.Progress{Text: p.String(), Lasting: true})
	return p, err
}
