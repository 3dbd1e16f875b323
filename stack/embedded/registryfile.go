package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"

	"github.com/distribution/distribution/v3/configuration"

	"regctl/stack/auth"
)

// ReadRegistryFile reads a configuration file of distribution's registry, with
// the REGISTRY_* variables of the environment that override it, and refuses what
// ServeRegistry does not have. An error is an *auth.ConfigError.
func ReadRegistryFile(path string) (*configuration.Configuration, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, &auth.ConfigError{Err: err}
	}
	config, err := parseRegistryFile(text)
	if err == nil {
		err = checkRegistryFile(config)
	}
	if err != nil {
		return nil, &auth.ConfigError{Err: fmt.Errorf("%s: %w", path, err)}
	}
	return config, nil
}

func parseRegistryFile(text []byte) (config *configuration.Configuration, err error) {
	defer recovered(&err)
	return configuration.Parse(bytes.NewReader(text))
}

// recovered is deferred where the library panics on configurations that it cannot
// use: it makes that an error.
func recovered(err *error) {
	if cause := recover(); cause != nil {
		*err = fmt.Errorf("%v", cause)
	}
}

// checkRegistryFile names everything that is not served. The rest is the
// library's to judge, in newApp.
func checkRegistryFile(config *configuration.Configuration) error {
	var all []error
	wrong := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	if driver := config.Storage.Type(); driver != "filesystem" {
		wrong("storage.%s: this registry stores in the filesystem only; for others run distribution's own image", driver)
	}
	switch auths := slices.Sorted(maps.Keys(config.Auth)); {
	case len(auths) == 0, auths[0] == "none":
	case auths[0] != "token":
		wrong("auth.%s: this registry knows tokens only", auths[0])
	default:
		all = append(all, checkTokenAuth(config.Auth["token"]))
	}
	http := &config.HTTP
	if !slices.Contains([]string{"", "tcp", "unix"}, http.Net) {
		wrong("http.net: %q is neither tcp nor unix", http.Net)
	}
	if http.Addr == "" {
		wrong("http.addr: is missing")
	}
	if http.TLS.Certificate != "" || http.TLS.LetsEncrypt.CacheFile != "" {
		wrong("http.tls: the edge serves TLS; this registry is behind it")
	}
	if http.H2C.Enabled {
		wrong("http.h2c: this registry speaks HTTP/1.1 only")
	}
	return errors.Join(all...)
}

// checkTokenAuth finds a registry that would trust nobody; the library refuses
// what it misses.
func checkTokenAuth(options configuration.Parameters) error {
	bundle, ok := options["rootcertbundle"].(string)
	if !ok || bundle == "" {
		return nil
	}
	if err := checkBundle(bundle); err != nil {
		return fmt.Errorf("auth.token.rootcertbundle: %w", err)
	}
	return nil
}

// warnings are about what works and may not be meant.
func warnings(ctx context.Context, config *configuration.Configuration, log *slog.Logger) {
	if auth := config.Auth.Type(); auth == "" || auth == "none" {
		log.WarnContext(ctx, "no auth section: whoever reaches this registry may pull, push and delete")
	}
	root, _ := config.Storage["filesystem"]["rootdirectory"].(string)
	if root == "" {
		return
	}
	// Pulls work on a full disk, so this is no reason not to serve.
	if err := probeStorage(root); err != nil {
		log.WarnContext(ctx, "the registry's storage is not writable", "error", err)
	}
}
