package provision

import "regctl/provision/step"

// Entry is a step of the set-up, with what a newcomer should know of it.
type Entry struct {
	Name  string
	About string
	make  func(*Installation) step.Step
}

// List is the set-up: what is done to a host, in this order. The plan, the
// progress lines, --skip and --only, `regctl help steps` and the table in the
// README come from it.
func List() []Entry {
	return []Entry{
		{"directories", "the installation's directory and those in it, each for whom it is for", (*Installation).directories},
		{"settings", "regctl.yaml, the desired state", (*Installation).settings},
		{"packages", "what is missing of Debian's packages: an engine where there is none", (*Installation).packages},
		{"own-image", "regctl's own program: for the containers and for the units of this host", (*Installation).ownImage},
		{"images", "the other images, pulled once and pinned by digest", (*Installation).images},
		{"secrets", "random secrets that the programs share, a file for each", (*Installation).secrets},
		{"signing-key", "the CA that signs tokens", (*Installation).signingKey},
		{"certificate", "key and certificate of the public names", (*Installation).certificate},
		{"dhparams", "Diffie-Hellman parameters: a group of RFC 7919 at once", (*Installation).dhparams},
		{"files", "configuration of nginx, registry, auth server and containers", (*Installation).configuration},
		{"stack", "the containers, up and healthy", (*Installation).containers},
		{"reload", "the edge uses the configuration and certificates that are there", (*Installation).reload},
		{"unit", "the stack starts with the host", (*Installation).unit},
		{"admin", "first account and rules, in an empty store", (*Installation).firstAdmin},
		{"verify", "proof by use: login, push, pull, mount and a denied push", (*Installation).proof},
		{"own-dhparams", "a Diffie-Hellman group of this host's own, searched and swapped in", (*Installation).ownDHParams},
	}
}

// StepNames are the names of the steps, in order.
func StepNames() []string {
	var out []string
	for _, e := range List() {
		out = append(out, e.Name)
	}
	return out
}

// Steps are those of this installation.
func (in *Installation) Steps() []step.Step {
	var out []step.Step
	for _, e := range List() {
		out = append(out, e.make(in))
	}
	return out
}
