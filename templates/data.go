// Package templates renders every file that the set-up writes. Rendering is a
// pure function of Data: the same in a plan, in `regctl render` and in a test.
package templates

// Data is what the templates are made from. Paths are absolute, and the same
// on the host and in the containers.
type Data struct {
	Name    string // of the compose project
	Dir     string // of the installation
	Version string // of regctl, for the files' first line

	Host                string // public name of the registry
	AuthHost            string // own name of the token server; "" means Host
	HTTPPort, HTTPSPort int
	IPv6                bool // the host has IPv6, so the edge listens there too

	NginxVersion string // "1.30.6": which directives there are
	TLSProfile   string // intermediate, modern, compatible
	HSTS         bool

	Builtin bool   // the edge and the registry are regctl's own program
	Store   string // sqlite, mongo
	MongoUI bool

	// References of the images, pinned by digest once they were pulled. Auth is
	// regctl's own; with Builtin it is used for all three.
	NginxImage, RegistryImage, AuthImage, MongoImage, MongoUIImage string

	UID int // user and group of registry, auth and nginx's workers

	TokenIssuer, TokenService string
	HTTPSecret                string // the registry's, over upload state; written to a 0600 file only
	MemoryMiB                 int    // of the host: limits are parts of it; 0: unknown
}
