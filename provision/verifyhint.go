package provision

import (
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"regctl/stack/auth"
)

// hint says what to do about a proof that failed; "" if nothing is known.
func (v *verification) hint(err error) string {
	if hint := v.edgeHint(err); hint != "" {
		return hint
	}
	if admin, ok := errors.AsType[*auth.AdminError](err); ok {
		return admin.Hint
	}
	if _, ok := errors.AsType[errToken](err); ok {
		return "the registry trusts another signing CA, issuer or service than the token server uses: restart both"
	}
	if errors.Is(err, auth.ErrNoServer) {
		return "the auth server does not run: look at regctl status"
	}
	refused, ok := errors.AsType[*transport.Error](err)
	switch {
	case !ok:
		return ""
	case refused.StatusCode == http.StatusMethodNotAllowed:
		return "the registry must allow to delete: storage.delete.enabled"
	case refused.StatusCode == http.StatusRequestEntityTooLarge:
		return "the edge limits the size of requests: client_max_body_size 0"
	case refused.StatusCode >= http.StatusInternalServerError:
		return "look at the registry's log, and whether its disk is full: regctl status"
	}
	return ""
}

// edgeHint is about names, connections and certificates.
func (v *verification) edgeHint(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		if v.CAFile == "" {
			return "this host trusts nobody who signed it: install the CA's certificate on this host"
		}
		return "it is not signed by the CA in " + v.CAFile
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "get a certificate for this name"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "renew the certificate, and look at this host's clock"
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return "point an A or AAAA record of " + dns.Name + " at this host, or name its address in /etc/hosts"
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: look at regctl status"
	case strings.HasSuffix(err.Error(), "tls: unrecognized name"):
		return "the edge does not serve this name: is it in its certificate and its configuration?"
	}
	return ""
}
