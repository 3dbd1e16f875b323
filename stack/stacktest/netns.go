package stacktest

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// netnsDir is where ip-netns(8) keeps the names of namespaces.
const netnsDir = "/run/netns"

// ours starts the names of all that tests make on the machine; the number of
// the test's process and a counter follow.
const ours = "rtest"

// counter makes names unique in this process.
var counter atomic.Int64

func unique() string { return fmt.Sprintf("%s%d-%d", ours, os.Getpid(), counter.Add(1)) }

// abandoned reports whether a name made by [unique], perhaps in a path, is
// that of a process that is gone.
func abandoned(path string) bool {
	name, ok := strings.CutPrefix(filepath.Base(path), ours)
	text, _, numbered := strings.Cut(name, "-")
	pid, err := strconv.Atoi(text)
	if !ok || !numbered || err != nil {
		return false
	}
	_, err = os.Stat(fmt.Sprintf("/proc/%d", pid))
	return os.IsNotExist(err)
}

// Namespace makes a network namespace with nothing but a loopback interface,
// which is gone again when the test is over, and removes those of runs that
// were killed. It needs root.
func Namespace(t testing.TB) (name string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	need(t, "ip")
	left, _ := filepath.Glob(filepath.Join(netnsDir, ours+"*"))
	for _, path := range left {
		if abandoned(path) {
			exec.Command("ip", "netns", "del", filepath.Base(path)).Run()
		}
	}
	name = unique()
	ip(t, "netns", "add", name)
	t.Cleanup(func() { ip(t, "netns", "del", name) })
	ip(t, "-n", name, "link", "set", "lo", "up")
	return name
}

// Join connects two namespaces by a cable, with an address of network at each
// end: the first two after that of the network itself. Several cables from one
// namespace need networks of their own. IPv6 works as well.
func Join(t testing.TB, a, b, network string) (addrA, addrB netip.Addr) {
	t.Helper()
	prefix, err := netip.ParsePrefix(network)
	if err != nil {
		t.Fatal(err)
	}
	addrA = prefix.Masked().Addr().Next()
	addrB = addrA.Next()
	// Names of interfaces have 15 letters at most.
	n := counter.Add(1)
	endA, endB := fmt.Sprintf("rt%da", n), fmt.Sprintf("rt%db", n)
	ip(t, "link", "add", endA, "netns", a, "type", "veth", "peer", "name", endB, "netns", b)
	for _, end := range []struct {
		ns, dev string
		addr    netip.Addr
	}{{a, endA, addrA}, {b, endB, addrB}} {
		add := []string{"-n", end.ns, "addr", "add", netip.PrefixFrom(end.addr, prefix.Bits()).String(), "dev", end.dev}
		if end.addr.Is6() {
			add = append(add, "nodad") // detecting duplicates takes seconds
		}
		ip(t, add...)
		ip(t, "-n", end.ns, "link", "set", end.dev, "up")
	}
	return addrA, addrB
}

// In is a command that runs in a namespace. Not by `ip netns exec`, which
// mounts /sys anew and hides the control groups.
func In(ctx context.Context, namespace string, argv ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + filepath.Join(netnsDir, namespace), "--"}, argv...)...)
}

// ip runs ip(8), also when the test's context has ended.
func ip(t testing.TB, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
		t.Errorf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
