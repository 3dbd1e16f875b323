package provision

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"regctl/certs"
	"regctl/provision/host"
	"regctl/provision/step"
	"regctl/stack"
	"regctl/stack/auth"
)

const (
	storeMongo = "mongo"

	// unitTemplate makes the systemd unit, which has a step of its own.
	unitTemplate = "systemd/regctl.service"
)

func (in *Installation) directories() step.Step {
	nobody, user := host.Owner{}, containerUser
	group := host.Owner{GID: containerUser.GID}
	ds := directories{
		{in.Dir, 0o755, nobody},
		{in.Nginx(), 0o755, nobody},
		{in.Registry(), 0o750, group},
		{in.Auth(), 0o750, group},
		{in.Certs(), 0o755, nobody},
		{in.Live(), 0o755, nobody},
		{in.in("acme"), 0o755, nobody},
		{in.ACMEWebroot(), 0o755, nobody},
		{in.Run(), 0o755, user},
		{in.in("run", "registry"), 0o750, user},
		{in.in("run", "auth"), 0o750, user},
		{in.in("data"), 0o755, nobody},
		{in.RegistryData(), 0o750, user},
		{in.AuthData(), 0o700, user},
	}
	if in.Config.Store == storeMongo {
		ds = append(ds,
			directory{in.Mongo(), 0o750, group},
			directory{in.in("mongo", "init"), 0o755, nobody},
			directory{in.MongoData(), 0o700, user})
	}
	return ds
}

func (in *Installation) settings() step.Step {
	return &files{name: "settings", keep: true, wanted: func(l host.Looker) ([]placed, error) {
		text := in.Config.Encode()
		// People edit the file: what says the same is left as they wrote it.
		if f, err := l.ReadFile(in.Paths.Config()); err == nil && f.Mode == settingsMode {
			if old, err := ParseConfig(f.Content); err == nil && bytes.Equal(old.WithDefaults().Encode(), text) {
				text = f.Content
			}
		}
		return []placed{{in.Paths.Config(), host.File{Content: text, Mode: settingsMode}}}, nil
	}}
}

const settingsMode fs.FileMode = 0o644

func (in *Installation) ownImage() step.Step { return in.own }

func (in *Installation) images() step.Step {
	var refs []string
	nginx := ""
	all := in.references()
	if !in.Config.Images.Builtin {
		nginx = all.Nginx
		refs = append(refs, all.Nginx, all.Registry)
	}
	if in.Config.Store == storeMongo {
		refs = append(refs, all.Mongo)
		if in.Config.Mongo.UI {
			refs = append(refs, all.MongoUI)
		}
	}
	return stack.NewImages(in.engine, in.ImagesLock(), refs, nginx)
}

func (in *Installation) secrets() step.Step {
	s := secrets{{path: in.HTTPSecret()}}
	if in.Config.Store == storeMongo {
		s = append(s, secretFile{path: in.MongoPassword(), owner: containerUser})
	}
	if in.Config.Mongo.UI {
		s = append(s,
			secretFile{path: in.in("mongo", "ui-password"), owner: containerUser},
			secretFile{path: in.in("mongo", "ui-url"), owner: containerUser, text: func(l host.Looker) (string, error) {
				password, err := readSecret(l, in.MongoPassword())
				return "mongodb://regctl:" + password + "@mongo:27017/regctl", err
			}})
	}
	return s
}

func (in *Installation) configuration() step.Step {
	return &files{name: "files", dir: in.Dir, wanted: func(l host.Looker) ([]placed, error) {
		rendered, err := in.rendered(l)
		if err != nil {
			return nil, err
		}
		var out []placed
		for _, f := range rendered {
			// Where a program is missing, so is the directory of its files: logrotate's.
			wanted, err := host.Exists(l, filepath.Dir(f.Path))
			if err != nil {
				return nil, err
			}
			if f.Name != unitTemplate && (wanted || strings.HasPrefix(f.Path, in.Dir+"/")) {
				out = append(out, placed{f.Path, f.File})
			}
		}
		return out, nil
	}}
}

// renderedFile is one of the rendered files, by the name of its template.
func (in *Installation) renderedFile(l host.Looker, name string) (placed, error) {
	rendered, err := in.rendered(l)
	if err != nil {
		return placed{}, err
	}
	for _, f := range rendered {
		if f.Name == name {
			return placed{f.Path, f.File}, nil
		}
	}
	return placed{}, errors.New("no template makes " + name)
}

func (in *Installation) containers() step.Step {
	return stack.NewStack(in.engine, in.project(), func(l host.Looker) ([]byte, error) {
		f, err := in.renderedFile(l, "compose.yaml")
		return f.Content, err
	})
}

func (in *Installation) edge() stack.Edge {
	return stack.Edge{Service: "nginx", Builtin: in.Config.Images.Builtin}
}

func (in *Installation) reload() step.Step {
	return stack.NewReload(in.engine, in.project(), in.edge(), []string{in.Nginx(), in.Live()}, in.in("run", "edge.loaded"))
}

func (in *Installation) firstAdmin() step.Step {
	return &admin{
		name: in.Config.Admin.Name, passwordFile: in.Config.Admin.PasswordFile, ownFile: in.AdminPassword(),
		client: auth.NewClient(in.AdminSocket()),
	}
}

func (in *Installation) unit() step.Step {
	return &deferred{"unit", func(l host.Looker) (step.Undoer, error) {
		f, err := in.renderedFile(l, unitTemplate)
		return stack.NewUnit(filepath.Base(f.path), f.Content), err
	}}
}

func (in *Installation) proof() step.Step {
	return NewVerify(in.Config.Target(in.Paths, TokenService), in.Verified(), in.state)
}

func (in *Installation) signingKey() step.Step {
	return certs.NewSigning(in.SigningCert(), in.SigningKey(), in.SigningBundle(), containerUser)
}

// certificate is one for each name, in a file of its own: so is the article's,
// and names can move apart.
func (in *Installation) certificate() step.Step {
	var each all
	for _, h := range in.Config.Hosts() {
		pair := certs.PairFile{Path: in.Pair(h)}
		if in.Config.Images.Builtin {
			pair.Owner = containerUser // our edge gives up root before it reads them
		}
		switch in.Config.TLS.Mode {
		case TLSFiles:
			each = append(each, certs.NewFilesPair(in.Config.TLS.Cert, in.Config.TLS.Key, pair, []string{h}, in.Now))
		default:
			each = append(each, certs.NewLocalPair(in.Certs(), pair, []string{h}, in.Now))
		}
	}
	return each
}

// dhMode is checked where settings are.
func (in *Installation) dhMode() certs.DHMode {
	mode, _ := certs.ParseDHMode(in.Config.TLS.DHParams)
	return mode
}

func (in *Installation) dhparams() step.Step {
	return certs.NewDHParams(in.dhMode(), in.DHParams())
}

func (in *Installation) ownDHParams() step.Step {
	mode := in.dhMode()
	if !mode.Own {
		return idle{"own-dhparams", "not asked for: dhparams is " + in.Config.TLS.DHParams}
	}
	return certs.NewOwnDH(in.DHParams(), in.DHState(), mode.Bits, in.reload().Apply)
}

func (in *Installation) packages() step.Step {
	return NewPackages(PackagesInput{EngineHost: in.dockerHost, Ping: in.engine.Ping, Record: in.Packages()})
}
