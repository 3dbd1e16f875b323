// Temporary: delete each line when the branch that has the real thing is merged (acl, config, cmd).
package auth

import (
	"regctl/stack/auth/store"
	"time"
)

type ACL struct{}

func CompileACL(r []store.Rule) (*ACL, error)        { return &ACL{}, nil }
func (*ACL) Decide(q *Query, now time.Time) Decision { return Decision{} }

type LoadOptions struct{}

func LoadConfig(path string, o LoadOptions) (*Config, error) { return nil, nil }
