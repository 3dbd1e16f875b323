package main

import (
	"cmp"
	"fmt"

	"regctl/provision"
)

// configDiff tells what another configuration changes, a line for each setting:
//
//	tls.mode: local → files (clients need this host's CA no longer)
func configDiff(from, to provision.Config) (lines []string) {
	from, to = from.WithDefaults(), to.WithDefaults()
	for _, one := range questionTable() {
		before, after := one.get(from), one.get(to)
		if before == after {
			continue
		}
		line := fmt.Sprintf("%s: %s → %s", one.key, cmp.Or(before, "(none)"), cmp.Or(after, "(none)"))
		if one.warns != nil {
			if warning := one.warns(before, after); warning != "" {
				line += " (" + warning + ")"
			}
		}
		lines = append(lines, line)
	}
	return lines
}
