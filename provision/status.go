// Package provision looks after whole installations.
package provision

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"regctl/stack/auth"
)

// checkLimit is how long one health check may take.
const checkLimit = 5 * time.Second

// Check is one question about the health of an installation.
type Check struct {
	Name string
	// Run returns what it saw, or what is wrong. It ends with its context.
	Run func(ctx context.Context) (detail string, err error)
	// Remedy says what to do when something is wrong: a command where possible.
	// An error that knows better has its own (see remedied).
	Remedy string
}

// remedied is an error with its own remedy.
type remedied struct {
	error
	remedy string
}

func (e remedied) Unwrap() error { return e.error }

// CheckResult is the answer to a Check.
type CheckResult struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"` // when it is not OK
}

// RunChecks asks all checks at once and returns their results in order.
func RunChecks(ctx context.Context, checks []Check) []CheckResult {
	results := make([]CheckResult, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, checkLimit)
			defer cancel()
			detail, err := c.Run(ctx)
			results[i] = CheckResult{Name: c.Name, OK: err == nil, Detail: detail}
			if err != nil {
				results[i].Detail, results[i].Remedy = explain(ctx, err), c.remedy(err)
			}
		})
	}
	wg.Wait()
	return results
}

// remedy says what to do about err.
func (c Check) remedy(err error) string {
	var known remedied
	var admin *auth.AdminError
	switch {
	case errors.As(err, &known):
		return known.remedy
	case errors.As(err, &admin) && admin.Hint != "":
		return admin.Hint
	}
	return c.Remedy
}

// explain says what is wrong, without what an HTTP client adds to it.
func explain(ctx context.Context, err error) string {
	var request *url.Error
	switch {
	case ctx.Err() == context.DeadlineExceeded:
		return fmt.Sprintf("no answer within %s", checkLimit)
	case errors.As(err, &request):
		return request.Err.Error()
	}
	return err.Error()
}
