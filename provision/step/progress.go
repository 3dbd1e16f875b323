package step

import "context"

// Progress is how far an Apply has come, for a line that is shown live on a
// terminal, and now and then elsewhere.
type Progress struct {
	// Text says what is being done, in lower case: "pulling nginx:1.30-alpine".
	Text string
	// Done of Total, in whatever unit the work has. Total 0: nobody knows.
	Done, Total int64
	// Lasting says that Text is a result which stays on the screen.
	Lasting bool
}

type progressKey struct{}

// WithProgress has [Report] call show, which must be quick and safe for
// concurrent use.
func WithProgress(ctx context.Context, show func(Progress)) context.Context {
	return context.WithValue(ctx, progressKey{}, show)
}

// Report tells whoever watches how far a step has come. Nobody need watch.
func Report(ctx context.Context, p Progress) {
	if show, ok := ctx.Value(progressKey{}).(func(Progress)); ok {
		show(p)
	}
}
