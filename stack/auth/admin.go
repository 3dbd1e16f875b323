package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxAdminBody bounds a request of the admin API; the largest sensible one is a
// user with thousands of label values.
const maxAdminBody = 1 << 20

// admin is the admin API: users, rules and tokens of the store, the audit log
// and the state of the server. Every operation is a POST of one JSON object to
// /v1/OPERATION, answered by JSON: the result, or an AdminError.
type admin struct {
	*Server
	started time.Time
}

// AdminHandler returns the admin API. It obeys only requests that come through
// a listener of ListenAdmin, from root or from this process's own user.
func (s *Server) AdminHandler() http.Handler {
	a := &admin{Server: s, started: s.now()}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answerError(w, &AdminError{Kind: KindNotFound, Message: fmt.Sprintf("no operation %s %s", r.Method, r.URL.Path),
			Hint: "the server may be of another version: restart it"})
	})
	operation(mux, "status", a.status)
	operation(mux, "probe", a.probe)
	operation(mux, "bootstrap", a.bootstrap)
	operation(mux, "user/list", a.listUsers)
	operation(mux, "user/show", a.showUser)
	operation(mux, "user/add", a.addUser)
	operation(mux, "user/set", a.setUser)
	operation(mux, "user/passwd", a.setPassword)
	operation(mux, "user/remove", a.removeUser)
	operation(mux, "acl/list", a.listRules)
	operation(mux, "acl/add", a.addRule)
	operation(mux, "acl/set", a.setRule)
	operation(mux, "acl/move", a.moveRule)
	operation(mux, "acl/remove", a.removeRule)
	operation(mux, "acl/test", a.testRules)
	operation(mux, "token/list", a.listTokens)
	operation(mux, "token/create", a.createToken)
	operation(mux, "token/revoke", a.revokeTokens)
	operation(mux, "audit/search", a.searchAudit)
	return onlyAdmins(mux)
}

// onlyAdmins refuses peers that may not administer this server. ListenAdmin's
// connections tell their peer's uid as the remote address.
func onlyAdmins(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if uid, ok := peerUID(r.RemoteAddr); !ok || !mayAdminister(uid) {
			answer(w, http.StatusForbidden, &AdminError{Kind: KindFailed,
				Message: fmt.Sprintf("%s may not administer this server", r.RemoteAddr),
				Hint:    "run the command as root or as the user that the server runs as"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// operation serves run at POST /v1/path.
func operation[In, Out any](mux *http.ServeMux, path string, run func(context.Context, In) (Out, error)) {
	mux.HandleFunc("POST /v1/"+path, func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := decodeStrictly(http.MaxBytesReader(w, r.Body, maxAdminBody), &in); err != nil {
			answerError(w, err)
			return
		}
		out, err := run(context.WithValue(r.Context(), callerKey{}, r.RemoteAddr), in)
		if err != nil {
			answerError(w, err)
			return
		}
		answer(w, http.StatusOK, out)
	})
}

// decodeStrictly reads exactly one JSON value with known fields only: a
// condition that is not understood would widen a rule.
func decodeStrictly(r io.Reader, into any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return nil
		}
		err = errors.Join(errors.New("more than one JSON value"), err)
	}
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return usage(fmt.Sprintf("the request is larger than %d bytes", maxAdminBody))
	}
	return usage("the request cannot be read: " + strings.ReplaceAll(err.Error(), "\n", ": "))
}

func answerError(w http.ResponseWriter, err error) {
	e := toAdminError(err)
	answer(w, e.Kind.status(), e)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) // a broken connection is the caller's loss
}

// callerKey holds, in an operation's context, who asked for it.
type callerKey struct{}
