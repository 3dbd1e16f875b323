package templates

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"text/template"

	"regctl/provision/host"
)

//go:embed compose.yaml.tmpl nginx registry auth mongo systemd logrotate
var builtin embed.FS

// ending is that of templates, ours and the users' own.
const ending = ".tmpl"

// File is a rendered file and where it belongs.
type File struct {
	Name string // of its template, without the ending .tmpl: "nginx/ssl.conf"
	Path string // absolute
	host.File
}

// output says which file a template makes.
type output struct {
	name   string
	path   string
	secret bool // of mode 0600 and owned by UID; else 0644 and root's
	wanted bool
}

// outputs are all files in the order in which they are rendered: compose.yaml
// has digests of those before it.
func (d Data) outputs() []output {
	in := func(name string) string { return filepath.Join(d.Dir, name) }
	mongo := d.Store == "mongo"
	unit := UnitName(d.Name)
	return []output{
		{name: "nginx/nginx.conf", path: in("nginx/nginx.conf"), wanted: !d.Builtin},
		{name: "nginx/default.conf", path: in("nginx/default.conf"), wanted: !d.Builtin},
		{name: "nginx/ssl.conf", path: in("nginx/ssl.conf"), wanted: !d.Builtin},
		{name: "nginx/edge.yaml", path: in("nginx/edge.yaml"), wanted: d.Builtin},
		{name: "registry/config.yml", path: in("registry/config.yml"), wanted: true, secret: true},
		{name: "auth/auth_config.yml", path: in("auth/auth_config.yml"), wanted: true},
		{name: "mongo/init/regctl.js", path: in("mongo/init/regctl.js"), wanted: mongo},
		{name: "compose.yaml", path: in("compose.yaml"), wanted: true},
		{name: "systemd/regctl.service", path: "/etc/systemd/system/" + unit, wanted: true},
		{name: "logrotate/regctl", path: "/etc/logrotate.d/" + strings.TrimSuffix(unit, ".service"), wanted: true},
	}
}

// Names lists the templates, as [File.Name] and [Render]'s own have them: also
// those that some data makes no file of.
func Names() []string {
	var names []string
	for _, o := range (Data{}).outputs() {
		names = append(names, o.name)
	}
	return names
}

// Render makes all files. Own returns the user's template for a name, which
// replaces ours; nil: there are none. Errors are for the operator: every field
// of d that is wrong, or every template that is, with its line.
func Render(d Data, own func(name string) (text []byte, ok bool)) ([]File, error) {
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("rendering the files: %w", err)
	}
	if d.AuthHost == d.Host {
		d.AuthHost = "" // one way to say it, for the templates
	}
	digests := map[string]string{}
	var files []File
	var problems []error
	for _, o := range d.outputs() {
		if !o.wanted {
			continue
		}
		text, err := render(d, o.name, own, digests)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		digests[o.name] = digest(text)
		f := File{Name: o.name, Path: o.path, File: host.File{Content: text, Mode: 0o644}}
		if o.secret {
			f.Mode, f.Owner = 0o600, host.Owner{UID: d.UID, GID: d.UID}
		}
		files = append(files, f)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("rendering the files: %w", err)
	}
	return files, nil
}

func render(d Data, name string, own func(string) ([]byte, bool), digests map[string]string) ([]byte, error) {
	text, origin, err := source(d, name, own)
	if err != nil {
		return nil, err
	}
	t := template.New(origin).Option("missingkey=error").Funcs(template.FuncMap{
		// digest is the short digest of a file that was rendered before.
		"digest": func(name string) (string, error) {
			sum, ok := digests[name]
			if !ok {
				return "", fmt.Errorf("no file %s was rendered before this one", name)
			}
			return sum, nil
		},
	})
	if _, err := t.Parse(string(text)); err != nil {
		return nil, err // with file and line
	}
	var out bytes.Buffer
	if err := t.Execute(&out, d); err != nil {
		return nil, err // with file and line
	}
	return out.Bytes(), nil
}

// source is a template's text and where it is from.
func source(d Data, name string, own func(string) ([]byte, bool)) (text []byte, origin string, err error) {
	if own != nil {
		if text, ok := own(name); ok {
			return text, filepath.Join(d.Dir, "templates", name+ending), nil
		}
	}
	text, err = builtin.ReadFile(name + ending)
	return text, "built-in " + name + ending, err
}

// digest is short: it tells versions of one file apart and is no proof of
// anything.
func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}
