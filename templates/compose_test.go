package templates_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"regctl/templates"
)

// load reads a compose.yaml as the stack does: nothing comes from the
// environment.
func load(t *testing.T, d templates.Data) *types.Project {
	t.Helper()
	text := rendered(t, d, nil)["compose.yaml"].Content
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  d.Dir,
		ConfigFiles: []types.ConfigFile{{Filename: d.Dir + "/compose.yaml", Content: text}},
		Environment: types.Mapping{},
	}, func(o *loader.Options) {
		o.Interpolate.LookupValue = func(name string) (string, bool) {
			t.Errorf("it wants $%s of the environment", name)
			return "", false
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if project.Name != d.Name {
		t.Errorf("the project is called %s", project.Name)
	}
	return project
}

func TestComposeServices(t *testing.T) {
	t.Parallel()
	for _, e := range examples() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			d := e.data()
			project := load(t, d)
			want := []string{"auth", "nginx", "registry"}
			if d.Store == "mongo" {
				want = append(want, "mongo")
			}
			if d.MongoUI {
				want = append(want, "mongo-ui")
			}
			slices.Sort(want)
			if got := project.ServiceNames(); !slices.Equal(got, want) {
				t.Errorf("services %q, want %q", got, want)
			}
			for name, s := range project.Services {
				for _, problem := range slices.Concat(unhardened(s), unbounded(s), exposed(d, s)) {
					t.Errorf("%s: %s", name, problem)
				}
			}
			for name, n := range project.Networks {
				if internal := name != "mongo-ui"; bool(n.Internal) != internal {
					t.Errorf("network %s: internal %v", name, n.Internal)
				}
			}
			for name, s := range project.Secrets {
				if !strings.HasPrefix(s.File, d.Dir+"/") {
					t.Errorf("secret %s is in %s", name, s.File)
				}
			}
		})
	}
}

// unhardened says what a service could do and need not.
func unhardened(s types.ServiceConfig) (problems []string) {
	caps := map[string][]string{"nginx": {"NET_BIND_SERVICE", "SETGID", "SETUID"}}
	users := map[string]string{"nginx": "0:0"}
	user, ok := users[s.Name]
	if !ok {
		user = "101:101"
	}
	wanted := map[string]bool{
		"all capabilities dropped":  slices.Equal(s.CapDrop, []string{"ALL"}),
		"capabilities as expected":  slices.Equal(s.CapAdd, caps[s.Name]),
		"no-new-privileges":         slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}),
		"a read-only root":          s.ReadOnly,
		"user " + user:              s.User == user,
		"no privileges":             !s.Privileged,
		"no devices":                len(s.Devices) == 0,
		"no namespaces of the host": s.Pid == "" && s.Ipc == "" && s.Uts == "" && s.UserNSMode == "" && s.Cgroup == "",
		"no pull by itself":         s.PullPolicy == types.PullPolicyNever,
		"nothing built":             s.Build == nil,
		"no secret in a variable":   !secretIn(s.Environment),
		"no container name (it would be taken on the second installation)": s.ContainerName == "",
	}
	return failing(wanted)
}

// secretIn reports a variable that names a secret and is not the path of one.
func secretIn(env types.MappingWithEquals) bool {
	for key, value := range env {
		secret := strings.Contains(key, "PASSWORD") || strings.Contains(key, "SECRET") || strings.Contains(key, "URL")
		if secret && (value == nil || !strings.HasPrefix(*value, "/run/secrets/")) {
			return true
		}
	}
	return false
}

// unbounded says what a service could use without end, or not come back from.
func unbounded(s types.ServiceConfig) []string {
	wanted := map[string]bool{
		"a limit of processes":         s.PidsLimit > 0,
		"a limit of memory":            s.MemLimit >= 256<<20,
		"a limit of files":             s.Ulimits["nofile"] != nil && s.Ulimits["nofile"].Soft == 16384,
		"a restart policy":             s.Restart == types.RestartPolicyUnlessStopped,
		"a time to stop":               s.StopGracePeriod != nil && time.Duration(*s.StopGracePeriod) >= 10*time.Second,
		"a health check":               s.HealthCheck != nil && !s.HealthCheck.Disable && slices.Contains(s.HealthCheck.Test, "healthcheck"),
		"log rotation":                 s.Logging != nil && s.Logging.Driver == "json-file" && s.Logging.Options["max-size"] != "" && s.Logging.Options["max-file"] != "",
		"tmpfs of a limited size":      !slices.ContainsFunc(s.Tmpfs, func(m string) bool { return !strings.Contains(m, "size=") || !strings.Contains(m, "noexec") }),
		"a health check by the minute": s.HealthCheck != nil && time.Duration(*s.HealthCheck.Interval) <= time.Minute,
	}
	return failing(wanted)
}

// exposed says where a service meets what is outside of the installation.
func exposed(d templates.Data, s types.ServiceConfig) (problems []string) {
	network := map[string]string{"nginx": "host", "registry": "none", "auth": "none"}
	if d.Store == "mongo" {
		network["auth"] = ""
	}
	if s.NetworkMode != network[s.Name] {
		problems = append(problems, "network_mode "+s.NetworkMode)
	}
	for _, p := range s.Ports {
		if s.Name != "mongo-ui" || p.HostIP != "127.0.0.1" {
			problems = append(problems, "port "+p.HostIP+":"+p.Published)
		}
	}
	if s.Name == "mongo" && len(s.Networks) != 1 {
		problems = append(problems, "mongo is on "+strconv.Itoa(len(s.Networks))+" networks")
	}
	// The same path inside, but for these, which are where images look.
	elsewhere := []string{"/etc/nginx", "/docker-entrypoint-initdb.d"}
	for _, v := range s.Volumes {
		switch {
		case v.Type == types.VolumeTypeTmpfs:
		case v.Type != types.VolumeTypeBind:
			problems = append(problems, v.Type+" "+v.Target)
		case !strings.HasPrefix(v.Source, d.Dir+"/"):
			problems = append(problems, "mounts "+v.Source)
		case v.Source != v.Target && !slices.Contains(elsewhere, v.Target):
			problems = append(problems, v.Source+" is at "+v.Target)
		case v.Bind == nil || bool(v.Bind.CreateHostPath):
			problems = append(problems, v.Source+" would be created, as root's")
		case !v.ReadOnly && !strings.HasPrefix(v.Source, d.Dir+"/data/") && !strings.HasPrefix(v.Source, d.Dir+"/run"):
			problems = append(problems, v.Source+" can be written")
		case strings.HasSuffix(v.Source, "/data") || v.Source == d.Dir+"/certs":
			problems = append(problems, v.Source+" is more than anyone needs")
		}
	}
	return problems
}

func failing(wanted map[string]bool) (problems []string) {
	for what, ok := range wanted {
		if !ok {
			problems = append(problems, "not: "+what)
		}
	}
	slices.Sort(problems)
	return problems
}

// A changed file gives exactly the containers that read it at their start
// another label, so that they are made anew.
func TestComposeConfigLabels(t *testing.T) {
	t.Parallel()
	labels := func(change func(*templates.Data)) map[string]string {
		d := minimal()
		change(&d)
		all := map[string]string{}
		for name, s := range load(t, d).Services {
			all[name] = s.Labels["org.regctl.config"]
		}
		return all
	}
	for _, test := range []struct {
		name   string
		base   func(*templates.Data)
		change func(*templates.Data)
		want   []string // whose label is another
	}{
		{"nothing", func(*templates.Data) {}, func(*templates.Data) {}, nil},
		{"issuer", func(*templates.Data) {}, func(d *templates.Data) { d.TokenIssuer = "other" }, []string{"auth", "registry"}},
		{"service", func(*templates.Data) {}, func(d *templates.Data) { d.TokenService = "other" }, []string{"registry"}},
		{"TLS", func(*templates.Data) {}, func(d *templates.Data) { d.TLSProfile = "modern" }, nil},
		{"TLS, built in", func(d *templates.Data) { d.Builtin = true }, func(d *templates.Data) { d.TLSProfile = "modern" }, []string{"nginx"}},
	} {
		before := labels(test.base)
		after := labels(func(d *templates.Data) { test.base(d); test.change(d) })
		var changed []string
		for name := range before {
			if before[name] != after[name] {
				changed = append(changed, name)
			}
		}
		slices.Sort(changed)
		if !slices.Equal(changed, test.want) {
			t.Errorf("%s: new labels for %q, want %q", test.name, changed, test.want)
		}
	}
}
