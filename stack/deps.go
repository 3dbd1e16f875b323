//go:build deps

package stack

import (
	_ "charm.land/huh/v2"
	_ "github.com/compose-spec/compose-go/v2/cli"
	_ "github.com/creack/pty"
	_ "github.com/docker/cli/cli/command"
	_ "github.com/docker/compose/v5/pkg/api"
	_ "github.com/docker/compose/v5/pkg/compose"
	_ "github.com/docker/docker/client"
	_ "github.com/invopop/jsonschema"
	_ "go.mongodb.org/mongo-driver/v2/mongo"
)
