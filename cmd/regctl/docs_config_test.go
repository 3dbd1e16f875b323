package main

import (
	"fmt"
	"strings"
	"testing"

	"regctl/provision"
)

// TestDocsConfig keeps the page of all settings as the table of questions and the
// schema have them.
func TestDocsConfig(t *testing.T) {
	t.Parallel()
	var rows strings.Builder
	defaults := provision.Config{}.WithDefaults()
	for _, one := range questionTable() {
		values := strings.Join(provision.Choices(one.key), ", ")
		switch {
		case one.isBool():
			values = "true, false"
		case values == "":
			values = strings.ReplaceAll(one.value, "|", ", ")
		}
		asked := ""
		if one.title != "" {
			asked = "yes"
		}
		fmt.Fprintf(&rows, "| `%s` | `--%s` | %s | %s | %s | %s |\n",
			one.key, one.flag, values, one.get(defaults), asked, provision.Setting(one.key).Description)
	}
	sameText(t, "settings.md", `# All settings of regctl.yaml

Each has a key in `+"`regctl.yaml`"+`, where a dot stands for a level (`+"`tls:` with `mode:`"+` below it), and a flag of `+"`regctl init`"+`, which goes before
the file. The wizard asks at most the six marked ones, and of those only what flags or the file of `+"`--config`"+` leave open. A file needs
`+"`version: 1`, `host` and `tls.mode`; `regctl config check`"+` says all that is wrong with one, `+"`regctl config schema`"+` prints its JSON schema for
editors, and [examples](../../examples) has whole ones. This page is generated: `+"`make docs`"+` writes it.

| key | flag | value | default | asked | |
|---|---|---|---|---|---|
`+rows.String())
}
