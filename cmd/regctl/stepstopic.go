package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"regctl/provision"
)

// newStepsTopic is what regctl help steps prints.
func newStepsTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("The steps of init and apply, in their order; --skip and --only take their names:\n\n")
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, s := range provision.List() {
		fmt.Fprintf(t, "  %s\t%s\n", s.Name, s.About)
	}
	must(t.Flush())
	b.WriteString("\nA step looks first and acts only if there is something to do, so all can be repeated.")
	return &cobra.Command{
		Use: "steps", Short: "the steps of init and apply", Long: b.String(), Annotations: exits(codeDone),
		Example: "  regctl help steps\n  regctl apply --skip unit --yes",
	}
}
