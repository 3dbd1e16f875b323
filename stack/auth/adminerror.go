package auth

import (
	"errors"
	"net/http"
)

// ErrorKind says whose fault a failed admin operation is.
type ErrorKind string

// The kinds of an AdminError.
const (
	KindUsage    ErrorKind = "usage"     // what was asked makes no sense; nothing was changed
	KindNotFound ErrorKind = "not_found" // no such user, rule or token
	KindConflict ErrorKind = "conflict"  // the state forbids it: it exists already, or is the last admin
	KindFailed   ErrorKind = "failed"    // the server could not do it
)

// AdminError is the answer to an operation that was not done. Message is one
// line for a person; Hint, if any, says what to do.
type AdminError struct {
	Kind    ErrorKind `json:"kind"`
	Message string    `json:"message"`
	Hint    string    `json:"hint,omitempty"`
}

func (e *AdminError) Error() string { return e.Message }

func (k ErrorKind) status() int {
	switch k {
	case KindUsage:
		return http.StatusBadRequest
	case KindNotFound:
		return http.StatusNotFound
	case KindConflict:
		return http.StatusConflict
	default:
		return http.StatusInternalServerError
	}
}

func usage(message string) error { return &AdminError{Kind: KindUsage, Message: message} }

func notFound(message, hint string) error {
	return &AdminError{Kind: KindNotFound, Message: message, Hint: hint}
}

func conflict(message, hint string) error {
	return &AdminError{Kind: KindConflict, Message: message, Hint: hint}
}

// toAdminError finds the kind of any error of an operation.
func toAdminError(err error) *AdminError {
	var (
		known *AdminError
		rule  *RuleError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &rule):
		return &AdminError{Kind: KindUsage, Message: rule.Error()}
	default:
		return &AdminError{Kind: KindFailed, Message: err.Error()}
	}
}
