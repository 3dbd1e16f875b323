package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"regctl/provision"
	"regctl/provision/host"
)

// question is a setting of regctl.yaml. From the table of them come the flags of
// init, the wizard, the page of settings, the difference between two
// configurations and the equivalent command. What a setting means and which
// values it may have is in its schema (provision.Setting).
type question struct {
	key, flag string
	value     string // names the value in help, where it is not one of a few
	// at points to the setting: a *string, *int, *bool, **bool or *provision.Images.
	at func(*provision.Config) any
	// keep makes of a text as it was typed the one to keep.
	keep  func(string) string
	file  bool     // the value is a path
	words []string // values to suggest, where others are possible too

	title  string            // the wizard asks this; empty: it does not ask
	note   string            // stands below
	says   map[string]string // explains the choices
	covers []string          // keys whose problems come from this answer
	guess  func(context.Context, host.Looker, provision.Config) string

	// warns says what a change means when it is more than it seems.
	warns func(from, to string) string
}

// questionTable has the settings in the order of asking.
func questionTable() []*question {
	return []*question{
		{key: "name", flag: "name", value: "NAME", at: func(c *provision.Config) any { return &c.Name },
			warns: always("the containers under the old name are no longer found")},
		{key: "host", flag: "host", value: "NAME", at: func(c *provision.Config) any { return &c.Host }, keep: canonicalHost,
			title: "Public name of the registry", note: "clients log in to it, and DNS points it to this host", guess: guessHost,
			warns: always("clients use the new name and log in again; images are pulled under it")},
		{key: "tls.mode", flag: "tls", at: func(c *provision.Config) any { return &c.TLS.Mode },
			title: "Who issues its certificate", guess: guessMode, covers: []string{"tls.cert", "tls.key"},
			says: map[string]string{
				provision.TLSLocal: "a CA of this host, which clients must be told to trust",
				provision.TLSFiles: "you: the files of --tls-cert and --tls-key",
				provision.TLSACME:  "Let's Encrypt",
			},
			warns: warnMode},
		{key: "tls.cert", flag: "tls-cert", value: "FILE", file: true, at: func(c *provision.Config) any { return &c.TLS.Cert }},
		{key: "tls.key", flag: "tls-key", value: "FILE", file: true, at: func(c *provision.Config) any { return &c.TLS.Key }},
		{key: "tls.profile", flag: "tls-profile", at: func(c *provision.Config) any { return &c.TLS.Profile },
			warns: func(_, to string) string {
				if to == "modern" {
					return "clients without TLS 1.3 are turned away"
				}
				return ""
			}},
		{key: "tls.dhparams", flag: "dhparams", value: "rfc7919|own|FILE", words: []string{"rfc7919", "own", "own:2048", "own:3072", "own:4096"},
			at: func(c *provision.Config) any { return &c.TLS.DHParams }, keep: absoluteFile},
		{key: "tls.hsts", flag: "hsts", at: func(c *provision.Config) any { return &c.TLS.HSTS },
			warns: func(_, to string) string {
				if to == "true" {
					return "browsers that have been here refuse plain http to this name for two years"
				}
				return "browsers that have been here keep to https until two years are over"
			}},
		{key: "email", flag: "email", value: "ADDRESS", at: func(c *provision.Config) any { return &c.Email }, keep: strings.TrimSpace,
			title: "E-mail address", note: "where a certificate authority writes to; may be empty if there is none", guess: guessEmail},
		{key: "auth.host", flag: "auth-host", value: "NAME", at: func(c *provision.Config) any { return &c.Auth.Host }, keep: canonicalHost,
			warns: always("the name needs a DNS record, and the certificate must have it")},
		{key: "edge.http_port", flag: "http-port", value: "PORT", at: func(c *provision.Config) any { return &c.Edge.HTTPPort }},
		{key: "edge.https_port", flag: "https-port", value: "PORT", at: func(c *provision.Config) any { return &c.Edge.HTTPSPort },
			warns: always("names of images have another port in them")},
		{key: "edge.nginx_version", flag: "nginx-version", value: "VERSION", at: func(c *provision.Config) any { return &c.Edge.NginxVersion }},
		{key: "firewall.backend", flag: "firewall", at: func(c *provision.Config) any { return &c.Firewall.Backend },
			title: "Firewall", says: map[string]string{
				"auto": "what is at hand", "ufw": "ufw", "iptables": "iptables", "none": "leave it to me",
			}},
		{key: "store", flag: "store", at: func(c *provision.Config) any { return &c.Store },
			title: "Database of users and rules", says: map[string]string{
				"sqlite": "a file; nothing else runs", "mongo": "MongoDB in a container; needs 1 GB of memory and a CPU with AVX",
			},
			warns: always("users and rules are not carried over")},
		{key: "mongo.ui", flag: "mongo-ui", at: func(c *provision.Config) any { return &c.Mongo.UI }},
		{key: "images", flag: "images", value: "default|builtin|nginx=REF,registry=REF", words: []string{"default", "builtin"},
			at: func(c *provision.Config) any { return &c.Images }},
		{key: "admin.name", flag: "admin", value: "NAME", at: func(c *provision.Config) any { return &c.Admin.Name },
			title: "Name of the first account, an admin", warns: always("an account that exists stays as it is")},
		{key: "admin.password_file", flag: "admin-password-file", value: "FILE", file: true, at: func(c *provision.Config) any { return &c.Admin.PasswordFile }},
	}
}

func always(text string) func(string, string) string {
	return func(string, string) string { return text }
}

func warnMode(from, to string) string {
	switch {
	case to == provision.TLSLocal:
		return "clients that do not trust this host's CA are locked out: regctl ca"
	case from == provision.TLSLocal:
		return "clients need this host's CA no longer"
	}
	return ""
}

// get returns the setting as text, as set reads it; empty if it has no value.
func (q *question) get(c provision.Config) string {
	switch at := q.at(&c).(type) {
	case *string:
		return *at
	case *int:
		if *at == 0 {
			return ""
		}
		return strconv.Itoa(*at)
	case *bool:
		return strconv.FormatBool(*at)
	case **bool:
		if *at == nil {
			return ""
		}
		return strconv.FormatBool(**at)
	case *provision.Images:
		return at.String()
	default:
		panic(fmt.Sprintf("%s is a %T", q.key, at)) // a mistake in the table
	}
}

// set reads the setting from text. That it can be read does not mean that it can
// work: that is for provision.Config.Problems.
func (q *question) set(c *provision.Config, text string) (err error) {
	if q.file && text != "" {
		text = absolute(text)
	}
	if q.keep != nil {
		text = q.keep(text)
	}
	switch at := q.at(c).(type) {
	case *string:
		*at = text
	case *int:
		// 0 would mean the default.
		if *at, err = strconv.Atoi(text); err != nil || *at == 0 {
			return fmt.Errorf("%q is no port: want a number from 1 to 65535", text)
		}
	case *bool:
		*at, err = parseBool(text)
	case **bool:
		*at = new(bool)
		**at, err = parseBool(text)
	case *provision.Images:
		*at, err = provision.ParseImages(text)
	}
	return err
}

// isBool says whether the flag needs no value.
func (q *question) isBool() bool {
	switch q.at(new(provision.Config)).(type) {
	case *bool, **bool:
		return true
	}
	return false
}

func parseBool(text string) (bool, error) {
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%q: want true or false", text)
	}
	return on, nil
}

// canonicalHost leaves what is no host name for the check.
func canonicalHost(text string) string {
	text = strings.TrimSpace(text)
	if name, err := provision.CanonicalHost(text); err == nil {
		return name
	}
	return text
}

// absolute leaves a path for the check that has no absolute form.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// absoluteFile is absolute for a value that may be a word too.
func absoluteFile(text string) string {
	if strings.Contains(text, "/") {
		return absolute(text)
	}
	return text
}

// hostnameTimeout bounds hostname -f, which asks the DNS.
const hostnameTimeout = 3 * time.Second

// guessHost proposes this host's own name, if it has a full one.
func guessHost(ctx context.Context, look host.Looker, _ provision.Config) string {
	ctx, cancel := context.WithTimeout(ctx, hostnameTimeout)
	defer cancel()
	out, err := look.Look(ctx, host.Command("hostname", "-f"))
	if err != nil {
		return ""
	}
	name, err := provision.CanonicalHost(strings.TrimSpace(out))
	if err != nil || !strings.Contains(name, ".") || strings.HasPrefix(name, "localhost.") {
		return ""
	}
	return name
}

func guessMode(_ context.Context, _ host.Looker, c provision.Config) string {
	if c.TLS.Cert != "" {
		return provision.TLSFiles
	}
	return provision.TLSLocal
}

// guessEmail proposes the admin of the domain, where mail has an owner by RFC 2142.
func guessEmail(_ context.Context, _ host.Looker, c provision.Config) string {
	_, domain, ok := strings.Cut(c.Host, ".")
	if !ok {
		return ""
	}
	if !strings.Contains(domain, ".") {
		domain = c.Host
	}
	return "hostmaster@" + domain
}
