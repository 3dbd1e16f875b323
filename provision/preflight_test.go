package provision

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"regctl/provision/host"
	"regctl/provision/host/hosttest"
)

// put writes a file with the directories above it: the state before a test.
func put(m *hosttest.Machine, path, text string) {
	m.MkdirAll(filepath.Dir(path))
	if _, err := m.WriteFile(path, host.File{Content: []byte(text), Mode: 0o644}); err != nil {
		panic(err)
	}
}

// goodInput is of a set-up that fits the host that newHost makes.
func goodInput() PreflightInput {
	return PreflightInput{
		Dir: "/srv/regctl", Hosts: []string{"registry.example.com"}, HTTPPort: 80, HTTPSPort: 443, ACME: true, Mongo: true,
		Engine: func(context.Context) (EngineInfo, error) {
			return EngineInfo{Version: "29.1.3", API: "1.52", Firewall: "iptables", Root: "/var/lib/docker"}, nil
		},
		Resolve: resolves(map[string]string{"registry.example.com": "192.0.2.7"}),
		Addresses: func() ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("fe80::1")}, nil
		},
	}
}

// resolves answers names with their addresses, and others as names that do not
// exist.
func resolves(zone map[string]string) func(context.Context, string, string) ([]netip.Addr, error) {
	return func(_ context.Context, _, name string) (out []netip.Addr, err error) {
		for text := range strings.FieldsSeq(zone[name]) {
			out = append(out, netip.MustParseAddr(text))
		}
		if len(out) == 0 {
			return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
		}
		return out, nil
	}
}

// newHost is a host with nothing wrong.
func newHost(t *testing.T) *hosttest.Machine {
	m := hosttest.New(t)
	for path, text := range map[string]string{
		"/etc/os-release":         "PRETTY_NAME=\"Ubuntu 24.04.3 LTS\"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n",
		"/proc/self/status":       "Name:\tregctl\nUid:\t0\t0\t0\t0\n",
		"/proc/meminfo":           "MemTotal:        2015000 kB\nMemFree: 1 kB\n",
		"/proc/cpuinfo":           "processor\t: 0\nflags\t\t: fpu sse2 avx avx2\n",
		"/proc/net/tcp":           tcpHead + tcpLine("0100007F:0050", "01", 77),
		"/proc/net/tcp6":          tcpHead,
		"/usr/bin/apt-get":        "",
		"/usr/bin/timedatectl":    "",
		"/usr/sbin/dockerd":       "",
		"/run/systemd/system/one": "",
	} {
		put(m, path, text)
	}
	return m
}

const tcpHead = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

// tcpLine is one of /proc/net/tcp.
func tcpLine(local, state string, inode int) string {
	return fmt.Sprintf("   0: %s 00000000:0000 %s 00000000:00000000 00:00000000 00000000     0        0 %d 1 0000000000000000 100 0 0 10 0\n", local, state, inode)
}

// running makes a process that has a file open.
func running(m *hosttest.Machine, pid int, name, cgroup, file string) {
	dir := fmt.Sprintf("/proc/%d", pid)
	put(m, dir+"/comm", name+"\n")
	put(m, dir+"/cgroup", "0::"+cgroup+"\n")
	m.Symlink(dir+"/fd/3", file)
}

func TestPreflightOfGoodHost(t *testing.T) {
	t.Parallel()
	m := newHost(t)
	says("timedatectl", "NTPSynchronized=yes\n", 0)(m, nil)
	results, err := RunPreflight(t.Context(), m.Looker(), PreflightChecks(goodInput()), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range results {
		got = append(got, fmt.Sprintf("%s %s: %s%s", r.Level, r.Name, r.Detail, r.Fix))
	}
	want := []string{
		"ok root: root",
		"ok os: Ubuntu 24.04.3 LTS",
		"ok systemd: running",
		"ok engine: 29.1.3, API 1.52",
		"ok engine-firewall: iptables",
		"ok ports: 80 and 443 are free",
		"ok dns: registry.example.com is 192.0.2.7, this host",
		"ok clock: in sync, says timedatectl",
		"ok dir: /srv/regctl",
		"ok disk: 64.0 GiB free at /",
		"ok memory: 1967 MiB",
		"ok avx: this processor can run MongoDB",
		"ok apt-lock: apt is not at work",
		"ok mac: neither SELinux nor AppArmor is in the way",
		"ok existing: nothing in /srv/regctl",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestIgnoredChecks(t *testing.T) {
	t.Parallel()
	checks := []PreflightCheck{
		{"a", func(context.Context, host.Looker) []Finding { return append(fail("do it", "bad"), okay("and good")...) }},
		{"b", func(context.Context, host.Looker) []Finding { return fail("do that", "worse") }},
	}
	l := hosttest.New(t).Looker()
	results, err := RunPreflight(t.Context(), l, checks, []string{"a"})
	want := []PreflightResult{
		{"a", Finding{LevelWarning, "bad", "do it"}, true},
		{"a", Finding{LevelOK, "and good", ""}, false},
		{"b", Finding{LevelError, "worse", "do that"}, false},
	}
	if err != nil || !slices.Equal(results, want) || PreflightErrors(results) != 1 {
		t.Errorf("%v, %v", results, err)
	}
	results, err = RunPreflight(t.Context(), l, checks, []string{"a", "c", "d"})
	if results != nil || err == nil || err.Error() != `unknown preflight check "c", "d"; known: a, b` {
		t.Errorf("unknown names: %v, %v", results, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := RunPreflight(ctx, l, checks, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// finding is one wrong thing on a host, and what is said of it.
type finding struct {
	check  string
	change func(m *hosttest.Machine, in *PreflightInput)
	want   string // "LEVEL: DETAIL → FIX" for each finding
}

func (f finding) test(t *testing.T) {
	t.Parallel()
	m, in := newHost(t), goodInput()
	f.change(m, &in)
	checks := slices.DeleteFunc(PreflightChecks(in), func(c PreflightCheck) bool { return c.Name != f.check })
	results, err := RunPreflight(t.Context(), m.Looker(), checks, nil)
	if err != nil || len(checks) != 1 {
		t.Fatalf("%d checks, %v", len(checks), err)
	}
	var got []string
	for _, r := range results {
		line := fmt.Sprintf("%s: %s", r.Level, r.Detail)
		if r.Fix != "" {
			line += " → " + r.Fix
		}
		got = append(got, line)
	}
	if text := strings.Join(got, "\n"); text != f.want {
		t.Errorf("got\n%s\nwant\n%s", text, f.want)
	}
}

func TestPreflightFindings(t *testing.T) {
	t.Parallel()
	all := map[string]map[string]finding{
		"host": hostFindings(), "dir": dirFindings(), "engine": engineFindings(), "ports": portFindings(), "dns": dnsFindings(),
	}
	for group, table := range all {
		for name, f := range table {
			t.Run(group+"/"+name, f.test)
		}
	}
}
