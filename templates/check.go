package templates

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"regctl/provision/host"
)

// What values may look like. The files have four ways of quoting among them
// (nginx, YAML, systemd, logrotate), and $ cannot be written in nginx's at all:
// so a value that any of them would need to escape is refused. Then plain
// double quotes are right everywhere, also in templates of users.
const (
	namePattern  = `^[a-z0-9][a-z0-9_-]{0,49}$` // of a compose project
	hostPattern  = `^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`
	imagePattern = `^[a-zA-Z0-9][a-zA-Z0-9._:/@-]{0,511}$`
	userPattern  = `^[a-z_][a-z0-9_-]{0,31}$`
	// dockerHostPattern is a URL without anything that systemd would expand.
	dockerHostPattern = `^[a-z]+://[a-zA-Z0-9._:/@\[\]-]+$`
	nginxPattern      = `^[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$`

	dirPunctuation = " ._-+@,=~/" // besides letters and digits

	oldestNginx = "1.18.0" // what was tested
	// maxHost is less than DNS has: certificates are in files that are called
	// like hosts, and these may have temporary ones with longer names.
	maxHost = 230
	// maxSocketPath is the longest address of a unix socket: unix(7) has 108
	// bytes, with the final NUL.
	maxSocketPath = 107
)

// problems are what is wrong, each with the name of its field.
type problems []error

func (p *problems) wrong(field, format string, args ...any) {
	*p = append(*p, fmt.Errorf(field+": "+format, args...))
}

func (p *problems) unless(field string, err error) {
	if err != nil {
		p.wrong(field, "%w", err)
	}
}

func (p *problems) matches(field, value, pattern string) {
	if !regexp.MustCompile(pattern).MatchString(value) {
		p.wrong(field, "%q is not of the form %s", value, pattern)
	}
}

func (p *problems) oneOf(field, value string, values ...string) {
	if !slices.Contains(values, value) {
		p.wrong(field, "%q is none of %s", value, strings.Join(values, ", "))
	}
}

// check names everything that is wrong with d.
func (d Data) check() error {
	var p problems
	p.matches("Name", d.Name, namePattern)
	p.unless("Dir", checkDir(d.Dir))
	d.checkEdge(&p)
	d.checkTokens(&p)
	d.checkContainers(&p)
	return errors.Join(p...)
}

func (d Data) checkEdge(p *problems) {
	// An address is no name: clients send none for it in the handshake, and the
	// edge refuses handshakes without one of its own.
	p.matches("Host", d.Host, hostPattern)
	if d.AuthHost != "" {
		p.matches("AuthHost", d.AuthHost, hostPattern)
	}
	if len(d.Host) > maxHost || len(d.AuthHost) > maxHost {
		p.wrong("Host", "longer than %d characters", maxHost)
	}
	if d.HTTPPort < 1 || d.HTTPPort > 65535 {
		p.wrong("HTTPPort", "%d is no port", d.HTTPPort)
	}
	if d.HTTPSPort < 1 || d.HTTPSPort > 65535 || d.HTTPSPort == d.HTTPPort {
		p.wrong("HTTPSPort", "%d is no port, or the HTTPPort", d.HTTPSPort)
	}
	p.oneOf("TLSProfile", d.TLSProfile, "intermediate", "modern", "compatible")
	if d.Builtin {
		return
	}
	p.matches("NginxVersion", d.NginxVersion, nginxPattern)
	if d.NginxBefore(oldestNginx) {
		p.wrong("NginxVersion", "%q is older than %s, the oldest that is known to work", d.NginxVersion, oldestNginx)
	}
	p.matches("NginxUser", d.NginxUser, userPattern)
}

func (d Data) checkTokens(p *problems) {
	p.unless("TokenIssuer", checkText(d.TokenIssuer))
	p.unless("TokenService", checkText(d.TokenService))
	if secret := d.HTTPSecret.Reveal(); len(secret) < 32 || checkText(secret) != nil {
		p.wrong("HTTPSecret", "not 32 printable characters or more")
	}
}

func (d Data) checkContainers(p *problems) {
	if d.UID < 1 {
		p.wrong("UID", "%d is not a user without privileges", d.UID)
	}
	if d.MemoryMiB < 0 {
		p.wrong("MemoryMiB", "%d is negative", d.MemoryMiB)
	}
	if d.DockerHost != "" {
		p.matches("DockerHost", d.DockerHost, dockerHostPattern)
	}
	p.oneOf("Store", d.Store, "sqlite", "mongo")
	if d.MongoUI && d.Store != "mongo" {
		p.wrong("MongoUI", "there is no MongoDB to look at: Store is %s", d.Store)
	}
	images := d.images()
	for _, field := range slices.Sorted(maps.Keys(images)) {
		p.matches(field, images[field], imagePattern)
	}
}

// images are the references that the services use, by field.
func (d Data) images() map[string]string {
	used := map[string]string{"AuthImage": d.AuthImage}
	if !d.Builtin {
		used["NginxImage"], used["RegistryImage"] = d.NginxImage, d.RegistryImage
	}
	if d.Store == "mongo" {
		used["MongoImage"] = d.MongoImage
	}
	if d.MongoUI {
		used["MongoUIImage"] = d.MongoUIImage
	}
	return used
}

func checkDir(dir string) error {
	if err := host.ValidPath(dir); err != nil {
		return err
	}
	for _, r := range dir {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(dirPunctuation, r) {
			return fmt.Errorf("%q has a %q in it: use letters, digits and any of %q", dir, r, dirPunctuation)
		}
	}
	if longest := filepath.Join(dir, "run", "registry", "registry.sock"); len(longest) > maxSocketPath {
		return fmt.Errorf("%q is %d bytes too long for the paths of sockets in it", dir, len(longest)-maxSocketPath)
	}
	return nil
}

// checkText refuses what clients could not be told in a header between quotes,
// as the registry tells them service and realm.
func checkText(text string) error {
	if text == "" {
		return errors.New("is empty")
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }); i >= 0 {
		return fmt.Errorf("%q: use printable ASCII without quotes and backslashes", text)
	}
	return nil
}
