package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"regctl/stack/auth"
)

// EdgeFile is edge.yaml: what the built-in edge serves, as nginx's
// configuration says it for nginx. All of it is needed but auth_host and hsts,
// and paths are absolute.
type EdgeFile struct {
	HTTP  []string `yaml:"http"`  // HOST:PORT or :PORT to redirect from, and to answer ACME challenges at
	HTTPS []string `yaml:"https"` // HOST:PORT or :PORT to serve at

	Host     string `yaml:"host"`      // public name of the registry
	AuthHost string `yaml:"auth_host"` // own public name of the auth server; empty: the registry's
	// HTTPSPort is the one that clients see, for redirects.
	HTTPSPort int `yaml:"https_port"`

	// Certificates are files by name: the key and the chain, leaf first, as
	// PEM in one file.
	Certificates map[string]string `yaml:"certificates"`
	Profile      string            `yaml:"profile"` // which clients are served: see [tlsProfile]
	HSTS         bool              `yaml:"hsts"`

	RegistrySocket string `yaml:"registry_socket"`
	AuthSocket     string `yaml:"auth_socket"`
	// ACMEWebroot is the directory that /.well-known/acme-challenge/ is in.
	ACMEWebroot string `yaml:"acme_webroot"`
}

// ReadEdgeFile reads and checks an edge.yaml. An error is an *auth.ConfigError,
// and names everything that is wrong.
func ReadEdgeFile(path string) (*EdgeFile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, &auth.ConfigError{Err: err}
	}
	f, err := parseEdgeFile(text)
	if err != nil {
		return nil, &auth.ConfigError{Err: fmt.Errorf("%s: %w", path, err)}
	}
	return f, nil
}

func parseEdgeFile(text []byte) (*EdgeFile, error) {
	var f EdgeFile
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true) // a mistyped key would silently mean its default
	if err := d.Decode(&f); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file is empty")
		}
		return nil, err
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is a second document")
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return &f, nil
}

// check puts names into the form in which they are compared, too.
func (f *EdgeFile) check() error {
	var all []error
	wrong := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	for key, addrs := range map[string][]string{"http": f.HTTP, "https": f.HTTPS} {
		if len(addrs) == 0 {
			wrong("%s: no address", key)
		}
		for _, addr := range addrs {
			if err := checkListen(addr); err != nil {
				wrong("%s: %w", key, err)
			}
		}
	}
	if f.HTTPSPort < 1 || f.HTTPSPort > 65535 {
		wrong("https_port: %d is no port", f.HTTPSPort)
	}
	if _, err := tlsProfile(f.Profile); err != nil {
		wrong("profile: %w", err)
	}
	for key, path := range map[string]string{
		"registry_socket": f.RegistrySocket, "auth_socket": f.AuthSocket, "acme_webroot": f.ACMEWebroot,
	} {
		if !filepath.IsAbs(path) {
			wrong("%s: %q is no absolute path", key, path)
		}
	}
	all = append(all, f.checkNames()...)
	slices.SortFunc(all, func(a, b error) int { return bytes.Compare([]byte(a.Error()), []byte(b.Error())) })
	return errors.Join(all...)
}

func (f *EdgeFile) checkNames() (all []error) {
	for key, name := range map[string]*string{"host": &f.Host, "auth_host": &f.AuthHost} {
		clean, err := checkHost(*name)
		if err != nil {
			all = append(all, fmt.Errorf("%s: %w", key, err))
			continue
		}
		*name = clean
	}
	if f.Host == "" {
		all = append(all, errors.New("host: is missing"))
	}
	if f.AuthHost == f.Host {
		f.AuthHost = ""
	}
	certificates := map[string]string{}
	for name, path := range f.Certificates {
		clean, err := checkHost(name)
		switch {
		case err != nil:
			all = append(all, fmt.Errorf("certificates: %w", err))
		case !slices.Contains(f.names(), clean):
			all = append(all, fmt.Errorf("certificates: %s is neither host nor auth_host", name))
		case !filepath.IsAbs(path):
			all = append(all, fmt.Errorf("certificates: %s: %q is no absolute path", name, path))
		}
		certificates[clean] = path
	}
	for _, name := range f.names() {
		if _, ok := certificates[name]; !ok {
			all = append(all, fmt.Errorf("certificates: none for %s", name))
		}
	}
	f.Certificates = maps.Clone(certificates)
	return all
}

// names are those that clients may ask for.
func (f *EdgeFile) names() []string {
	return slices.DeleteFunc([]string{f.Host, f.AuthHost}, func(name string) bool { return name == "" })
}

// checkListen accepts HOST:PORT and :PORT with a number and an IP address: names
// would have to be looked up before there is a network.
func checkListen(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: the port is no number up to 65535", addr)
	}
	if host != "" && net.ParseIP(host) == nil {
		return fmt.Errorf("%q: the host is no IP address", addr)
	}
	return nil
}
