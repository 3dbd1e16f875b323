package provision

import "path/filepath"

// Paths are where things are in an installation's directory. Containers see
// what they need of it under the same absolute paths, so that a configuration
// file means the same inside and outside, and `nginx -t` can judge it anywhere.
//
// Directories are mounted, never files: a file that is replaced by rename
// stays the old one in a container (docker/for-linux, and pains.md 2.8).
type Paths struct{ Dir string }

func (p Paths) in(parts ...string) string {
	return filepath.Join(append([]string{p.Dir}, parts...)...)
}

func (p Paths) Config() string        { return p.in("regctl.yaml") }
func (p Paths) Compose() string       { return p.in("compose.yaml") }
func (p Paths) ImagesLock() string    { return p.in("images.lock") }
func (p Paths) Journal() string       { return p.in("journal.json") }
func (p Paths) AdminPassword() string { return p.in("admin.password") }
func (p Paths) Templates() string     { return p.in("templates") } // the user's own

func (p Paths) Nginx() string       { return p.in("nginx") }    // nginx.conf default.conf ssl.conf
func (p Paths) Registry() string    { return p.in("registry") } // config.yml and what it trusts
func (p Paths) Auth() string        { return p.in("auth") }     // auth_config.yml and keys
func (p Paths) Certs() string       { return p.in("certs") }    // the local CA, root's alone
func (p Paths) Live() string        { return p.in("certs", "live") }
func (p Paths) LocalCA() string     { return p.in("certs", "local-ca.crt") } // what clients need to trust
func (p Paths) ACMEWebroot() string { return p.in("acme", "webroot") }

// Pair is a name's key and chain in one file, which nginx takes for both
// ssl_certificate and ssl_certificate_key: they can only change together.
func (p Paths) Pair(host string) string { return filepath.Join(p.Live(), host+".pem") }
func (p Paths) DHParams() string        { return filepath.Join(p.Live(), "dhparams.pem") }

// OwnProgram is a copy of the program that set the installation up.
func (p Paths) OwnProgram() string { return p.in("bin", "regctl") }

func (p Paths) HTTPSecret() string { return filepath.Join(p.Registry(), "http.secret") }
func (p Paths) Mongo() string      { return p.in("mongo") } // passwords and the script that makes the user
func (p Paths) Verified() string   { return p.in("verified.json") }
func (p Paths) lock() string       { return p.in(".lock") }

// DHState is how far the search for an own group is.
func (p Paths) DHState() string { return filepath.Join(p.Certs(), "dhparams.state") }

func (p Paths) SigningCert() string { return filepath.Join(p.Auth(), "signing-ca.crt") }
func (p Paths) SigningKey() string  { return filepath.Join(p.Auth(), "signing-ca.key") }

// SigningBundle is the registry's copy of what it trusts.
func (p Paths) SigningBundle() string { return filepath.Join(p.Registry(), "signing-ca.crt") }

// MongoPassword is the token server's, which the database is told at its start.
func (p Paths) MongoPassword() string { return filepath.Join(p.Auth(), "mongo-password") }

func (p Paths) Run() string            { return p.in("run") }
func (p Paths) RegistrySocket() string { return p.in("run", "registry", "registry.sock") }
func (p Paths) AuthSocket() string     { return p.in("run", "auth", "auth.sock") }
func (p Paths) AdminSocket() string    { return p.in("run", "admin.sock") }

func (p Paths) RegistryData() string { return p.in("data", "registry") }
func (p Paths) AuthData() string     { return p.in("data", "auth") }
func (p Paths) MongoData() string    { return p.in("data", "mongo") }
