// Package embedded runs a whole registry stack in one process: distribution's
// registry, the auth server and the edge in front of them.
package embedded

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/token"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"

	"regctl/provision/host"
)

// tokenPath is the token endpoint that the registry sends clients to.
const tokenPath = "/auth"

// RegistryOptions say where a registry keeps blobs and whom it trusts.
type RegistryOptions struct {
	Dir string // of the installation; blobs are in Dir/data/registry

	// Realm is the URL of the token endpoint. Empty means /auth on the host
	// that the request names: whoever serves the registry must check that host,
	// and set X-Forwarded-Proto.
	Realm   string
	Service string // the audience of tokens
	Issuer  string // of tokens
	// SigningBundle is a PEM file: the certificates whose keys, or whose
	// leaves' keys, sign tokens.
	SigningBundle string

	// Log gets warnings and errors; nil means slog.Default. The library logs
	// through one process-wide logger (logrus), so with several registries in a
	// process the last one made gets the lines of all.
	Log *slog.Logger
}

// Registry is distribution's registry as a handler of /v2/.
type Registry struct {
	http.Handler
	app *handlers.App
}

// OpenRegistry makes a registry. Close it after the last request.
func OpenRegistry(opts RegistryOptions) (*Registry, error) {
	if err := opts.check(); err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if err := os.MkdirAll(storageDir(opts.Dir), 0o700); err != nil {
		return nil, fmt.Errorf("making the registry's storage: %w", err)
	}
	if err := CheckStorage(opts.Dir); err != nil {
		return nil, err
	}
	secret, err := uploadSecret(filepath.Join(opts.Dir, "data", "registry.secret"))
	if err != nil {
		return nil, fmt.Errorf("the registry's secret: %w", err)
	}
	forwardLogs(opts.Log, "warn")
	app, err := newApp(opts.configuration(secret))
	if err != nil {
		return nil, fmt.Errorf("starting the registry: %w", err)
	}
	return &Registry{Handler: app, app: app}, nil
}

// Close ends the registry's background work.
func (r *Registry) Close() error { return r.app.Shutdown() }

// newApp turns the library's panics into errors: it panics on every
// configuration that it cannot use.
func newApp(config *configuration.Configuration) (app *handlers.App, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			cancel() // what the library started before it panicked
		}
	}()
	defer recovered(&err)
	return handlers.NewApp(ctx, config), nil
}

// check refuses what the library would accept and answer wrongly with later.
func (o *RegistryOptions) check() error {
	switch "" {
	case o.Dir:
		return errors.New("the directory is not set")
	case o.Service:
		return errors.New("the service is not set")
	case o.Issuer:
		return errors.New("the issuer is not set")
	case o.SigningBundle:
		return errors.New("the signing bundle is not set")
	}
	return checkBundle(o.SigningBundle)
}

// checkBundle refuses a signing bundle that the library would take for one that
// trusts nobody.
func checkBundle(path string) error {
	bundle, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the signing bundle: %w", err)
	}
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return nil
		}
	}
	return fmt.Errorf("the signing bundle %s holds no certificate: the registry would trust no token", path)
}

// configuration is the library's own. The types inside its maps matter: it
// panics on map[string]any and []string where it expects map[any]any and []any.
func (o *RegistryOptions) configuration(secret string) *configuration.Configuration {
	config := &configuration.Configuration{
		Version: configuration.MajorMinorVersion(0, 1),
		Storage: configuration.Storage{
			"filesystem": {"rootdirectory": storageDir(o.Dir)},
			"delete":     {"enabled": true},
			// Uploads that a client gave up on would fill the disk; a week is
			// longer than any that still goes on.
			"maintenance": {"uploadpurging": map[any]any{"enabled": true, "age": "168h", "interval": "24h", "dryrun": false}},
		},
		Auth: configuration.Auth{"token": {
			"realm":          o.Realm,
			"service":        o.Service,
			"issuer":         o.Issuer,
			"rootcertbundle": o.SigningBundle,
			// What the auth server signs with: EC P-256, P-384, P-521, and RSA.
			"signingalgorithms": []any{"ES256", "ES384", "ES512", "RS256"},
		}},
	}
	if o.Realm == "" {
		config.Auth["token"]["realm"] = tokenPath // required, and unused with:
		config.Auth["token"]["autoredirect"] = true
		config.Auth["token"]["autoredirectpath"] = tokenPath
	}
	config.HTTP.Secret = secret
	// The library's parser sets these; without it zero is the limit.
	config.Catalog.MaxEntries = 1000
	config.Tags.MaxTags = 1000
	return config
}

func storageDir(dir string) string { return filepath.Join(dir, "data", "registry") }

// CheckStorage writes, reads and removes a small file where the registry of the
// installation in dir keeps its blobs. Full or read-only disks and wrong owners
// show here before a push fails.
func CheckStorage(dir string) error {
	if err := probeStorage(storageDir(dir)); err != nil {
		return fmt.Errorf("the registry's storage is not writable: %w", err)
	}
	return nil
}

func probeStorage(dir string) error {
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	defer os.Remove(probe.Name())
	_, err = probe.WriteString("writable\n")
	return errors.Join(err, probe.Sync(), probe.Close())
}

// uploadSecret loads or makes the key that authenticates the state of uploads,
// which clients carry from request to request. Kept in a file, uploads under
// way survive a restart. The caller holds the installation's lock.
func uploadSecret(path string) (string, error) {
	const size = 32
	secret, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		secret = make([]byte, size)
		_, _ = rand.Read(secret) // never fails
		if err := (host.Local{}).CreateSecret(path, host.NewSecret(string(secret)), host.Owner{}); err != nil {
			return "", err
		}
	case err != nil:
		return "", err
	case len(secret) != size:
		return "", fmt.Errorf("%s has %d bytes instead of %d: remove it, a new one is made", path, len(secret), size)
	}
	return hex.EncodeToString(secret), nil
}
