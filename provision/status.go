// Package provision looks after whole installations.
package provision

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
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
	// DependsOn names checks before this one in the list without which it would
	// only say the same again. When one of them fails it is not run.
	DependsOn []string
}

// remedied is an error with its own remedy.
type remedied struct {
	error
	remedy string
}

func (e remedied) Unwrap() error { return e.error }

// CheckResult is the answer to a Check.
type CheckResult struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Skipped says that it was not run, and so is not OK either.
	Skipped bool   `json:"skipped,omitempty"`
	Detail  string `json:"detail"`
	Remedy  string `json:"remedy,omitempty"` // when it failed
}

// RunChecks asks all checks at once, but for what they depend on, and returns
// their results in order.
func RunChecks(ctx context.Context, checks []Check) []CheckResult {
	results := make([]CheckResult, len(checks))
	done := make([]chan struct{}, len(checks))
	at := map[string]int{}
	var wg sync.WaitGroup
	for i, c := range checks {
		done[i] = make(chan struct{})
		var before []int
		for _, name := range c.DependsOn {
			if earlier, ok := at[name]; ok {
				before = append(before, earlier)
			}
		}
		at[c.Name] = i
		wg.Go(func() {
			defer close(done[i])
			for _, earlier := range before {
				<-done[earlier]
				if r := results[earlier]; !r.OK {
					results[i] = CheckResult{Name: c.Name, Skipped: true, Detail: "not checked: " + r.cause()}
					return
				}
			}
			results[i] = c.result(ctx)
		})
	}
	wg.Wait()
	return results
}

// cause says why what depends on r was not checked: the first of all causes.
func (r CheckResult) cause() string {
	if r.Skipped {
		return strings.TrimPrefix(r.Detail, "not checked: ")
	}
	return r.Name + " is failing"
}

func (c Check) result(ctx context.Context) CheckResult {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	detail, err := c.Run(ctx)
	if err != nil {
		return CheckResult{Name: c.Name, Detail: explain(ctx, err), Remedy: c.remedy(err)}
	}
	return CheckResult{Name: c.Name, OK: true, Detail: detail}
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
