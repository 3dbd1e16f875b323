package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// onHangup passes SIGHUP on, which asks a server to read its files again, until
// stop is called.
func onHangup(ctx context.Context) (reload <-chan struct{}, stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	asked := make(chan struct{})
	go func() {
		for range signals {
			select {
			case asked <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return asked, func() { signal.Stop(signals) }
}
