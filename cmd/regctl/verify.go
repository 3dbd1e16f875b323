package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"regctl/provision"
)

func newVerifyCmd(e *env) *cobra.Command {
	var s server
	var output format
	var address string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "prove an installation by a login, a push, a pull and a denied push",
		Long: `Prove an installation by being its user, through its public names: the redirect
to https, the certificate, the challenge, a login, a push, a pull by digest, a
mount from one repository into another, a push that must be denied, and the
clean-up of it all.

It uses an account of its own with access rules of its own. Both end by
themselves after five minutes, and are removed when it ends. The first proof that
fails is the last one.`,
		Example:     "  regctl verify --dir /srv/regctl",
		Args:        wantArgs(),
		Annotations: exits("0 all is proven", codeFailed, codeUsage, "4 a proof has failed"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, paths, err := readInstallation(s.dir)
			if err != nil {
				return err
			}
			target := c.Target(paths, provision.TokenService)
			target.AdminSocket, target.Address = s.path(), address
			target, note := target.Reachable(cmd.Context())
			if note != "" {
				e.note("%s", note)
			}
			proofs, err := provision.Verify(cmd.Context(), target)
			if len(proofs) > 0 {
				if err := output.print(e.stdout, proofs, func(w io.Writer) error { return printProofs(w, proofs) }); err != nil {
					return err
				}
			}
			return err
		},
	}
	s.addFlags(cmd)
	output.addFlag(cmd)
	cmd.Flags().StringVar(&address, "address", "", "IP `ADDRESS` to connect to (default what the names resolve to, else 127.0.0.1)")
	return cmd
}

// printProofs prints a line for each proof, with the time that it took.
func printProofs(w io.Writer, proofs []provision.Proof) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range proofs {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", mark(p.OK, p.Skipped), p.Name, p.Took.Round(time.Millisecond), oneLine(p.Seen))
	}
	return t.Flush()
}
