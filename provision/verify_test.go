package provision

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"regctl/stack/auth/store"
)

const everyProof = "redirect certificate challenge login push pull mount denied clean-up"

// Verify proves a good installation, again and again, whatever its rules are.
func TestVerify(t *testing.T) {
	t.Parallel()
	deny, all := []string{}, []string{"*"}
	onlyAdmins := []store.Rule{
		{Seq: 0, Match: store.Match{Labels: map[string]string{"role": "admin"}}, Actions: all},
		{Seq: 1, Actions: deny},
	}
	for name, o := range map[string]stackOptions{
		"one host":            {},
		"two hosts":           {authHost: testAuthHost},
		"only admins":         {rules: onlyAdmins},
		"only admins by file": {static: onlyAdmins},
		"anybody":             {rules: []store.Rule{{Seq: 0, Actions: all}}},
		"anybody by file":     {static: []store.Rule{{Seq: 0, Actions: all}}},
		"no rules":            {rules: []store.Rule{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, o)
			before := s.server.State()
			for range 2 {
				proofs, err := Verify(t.Context(), s.target)
				if err != nil || names(proofs) != everyProof {
					t.Fatalf("%v\n%+v\n%s", err, proofs, &s.output)
				}
				for _, p := range proofs {
					t.Log(p, p.Took)
					if !p.OK || p.Skipped || p.Hint != "" || p.Took <= 0 {
						t.Errorf("%+v", p)
					}
				}
				s.clean(said(proofs, err))
			}
			if after := s.server.State(); len(after.Users) != len(before.Users) || len(after.Rules) != len(before.Rules) {
				t.Errorf("before %+v, after %+v", before, after)
			}
		})
	}
}

// Verify and status agree with the registries that people run: 2.8 and 3.1.
func TestRegistries(t *testing.T) {
	t.Parallel()
	for name, program := range map[string]string{"2.8": "docker-registry", "3.1": "registry"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, err := tool(program)
			if err != nil {
				t.Skipf("registry %s is not there: %v", name, err)
			}
			s := newStack(t, stackOptions{program: path})
			for range 2 {
				proofs, err := Verify(t.Context(), s.target)
				if err != nil || names(proofs) != everyProof {
					t.Fatalf("%v\n%+v\n%s", err, proofs, &s.output)
				}
				s.clean(said(proofs, err))
			}
			for _, r := range RunChecks(t.Context(), DockerChecks(s.docker())) {
				if !r.OK {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}

// tool finds a program that make test has built, or that is installed.
func tool(program string) (string, error) {
	built, err := filepath.Abs(filepath.Join("..", ".tools", "bin", program))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(built); err == nil {
		return built, nil
	}
	return exec.LookPath(program)
}
