// Package provision looks after whole installations.
package provision

import (
	"context"
	"sync"
	"time"
)

// checkLimit is how long one health check may take.
const checkLimit = 5 * time.Second

// Check is one question about the health of an installation.
type Check struct {
	Name string
	// Run returns what it saw, or what is wrong. It ends with its context.
	Run func(ctx context.Context) (detail string, err error)
	// Remedy says what to do when something is wrong: a command where possible.
	Remedy string
}

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
				results[i].Detail, results[i].Remedy = err.Error(), c.Remedy
			}
		})
	}
	wg.Wait()
	return results
}
