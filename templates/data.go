// Package templates renders every file that the set-up writes. Rendering is a
// pure function of Data: the same in a plan, in `regctl render` and in a test.
package templates

import (
	"strconv"
	"strings"

	"regctl/provision/host"
)

// Data is what the templates are made from. Paths are absolute, and the same
// on the host and in the containers. [Render] refuses values that could mean
// something else in one of the files; see check.go for what may be in them.
type Data struct {
	Name string // of the compose project
	Dir  string // of the installation

	Host                string // public name of the registry
	AuthHost            string // own name of the token server; "" or Host: the registry's
	HTTPPort, HTTPSPort int    // where the edge listens, and where clients come to
	IPv6                bool   // the host has IPv6, so the edge listens there too

	NginxVersion string // "1.30.6": which directives there are; unused with Builtin
	NginxUser    string // name of UID in nginx's image: nginx takes no numbers; unused with Builtin
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
	HTTPSecret                host.Secret // the registry's, over upload state; 32 bytes or more
	MemoryMiB                 int         // of the host: limits are parts of it; 0: unknown
	DockerHost                string      // DOCKER_HOST, for the systemd unit; "": the engine of docker.service
}

// TokenHost is the public name of the token server.
func (d Data) TokenHost() string {
	if d.AuthHost != "" {
		return d.AuthHost
	}
	return d.Host
}

// Hosts are the public names, the registry's first.
func (d Data) Hosts() []string {
	if d.TokenHost() == d.Host {
		return []string{d.Host}
	}
	return []string{d.Host, d.AuthHost}
}

// PublicPort is what follows a host in an https URL: ":8443", or "" for 443.
func (d Data) PublicPort() string {
	if d.HTTPSPort == 443 {
		return ""
	}
	return ":" + strconv.Itoa(d.HTTPSPort)
}

// Memory is a container's limit, in MiB: one part of so many of the host's
// memory, and at least what any of the services needs to work at all.
func (d Data) Memory(parts int) int {
	const unknown, least = 2048, 256
	whole := d.MemoryMiB
	if whole == 0 {
		whole = unknown
	}
	return max(whole/parts, least)
}

// NginxBefore reports whether NginxVersion is older than version.
func (d Data) NginxBefore(version string) bool {
	return compareVersions(d.NginxVersion, version) < 0
}

// compareVersions compares versions of three numbers.
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		// What is no number was refused by check, or is a template's mistake.
		x, _ := strconv.Atoi(as[i])
		y, _ := strconv.Atoi(bs[i])
		if x != y {
			return x - y
		}
	}
	return len(as) - len(bs)
}

// UnitName is the name of the systemd unit, and that of the logrotate file with
// another ending, of the project name. Only regctl's own names begin so: a
// project called "docker" must not replace docker.service.
func UnitName(name string) string {
	if name == ownName {
		return ownName + ".service"
	}
	return ownName + "-" + name + ".service"
}

const ownName = "regctl"
