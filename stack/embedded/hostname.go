package embedded

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// hostName returns the name of a Host header without its port, in lower case
// and without brackets or final dot. It is not ok when the port is no number.
func hostName(header string) (name string, ok bool) {
	name = header
	if i := strings.LastIndexByte(header, ':'); i > strings.LastIndexByte(header, ']') {
		if _, err := strconv.ParseUint(header[i+1:], 10, 16); err != nil {
			return "", false
		}
		name = header[:i]
	}
	if inner, bracketed := strings.CutPrefix(name, "["); bracketed {
		if name, ok = strings.CutSuffix(inner, "]"); !ok {
			return "", false
		}
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name, name != ""
}

// isLoopback says whether name can only mean this machine.
func isLoopback(name string) bool {
	addr, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && addr.Zone() == "" && addr.Unmap().IsLoopback()
}

// checkHost checks a host name or IP address without port (RFC 1123, section 2.1)
// and returns it in the form of hostName. Empty stays empty.
func checkHost(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	if addr, err := netip.ParseAddr(name); err == nil && addr.Zone() == "" {
		return addr.String(), nil
	}
	clean, ok := hostName(name)
	switch {
	case !ok || len(clean) > 253:
		return "", fmt.Errorf("%q is no host name", name)
	case strings.Contains(name, ":"):
		return "", fmt.Errorf("%q: give the name alone, the port is the listener's", name)
	}
	for label := range strings.SplitSeq(clean, ".") {
		if err := checkLabel(label); err != nil {
			return "", fmt.Errorf("%q is no host name: %w", name, err)
		}
	}
	return clean, nil
}

func checkLabel(label string) error {
	const alnum = "abcdefghijklmnopqrstuvwxyz0123456789"
	switch {
	case label == "":
		return errors.New("it has an empty part")
	case len(label) > 63:
		return errors.New("a part has more than 63 characters")
	case strings.ContainsFunc(label, func(r rune) bool { return !strings.ContainsRune(alnum+"-", r) }):
		return errors.New("only letters, digits and - are allowed")
	case label[0] == '-' || label[len(label)-1] == '-':
		return errors.New("a part begins or ends with -")
	}
	return nil
}

// authority is host:port for a URL, without the port that scheme implies.
func authority(scheme, host string, port int) string {
	if scheme == "https" && port == 443 || scheme == "http" && port == 80 {
		if strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}
