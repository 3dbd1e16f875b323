package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/spf13/cobra"

	"regctl/provision"
	"regctl/provision/step"
	"regctl/stack"
)

// containers are those of the installation in dir.
type containers struct{ dir string }

func (c *containers) addFlags(cmd *cobra.Command) { addDirFlag(cmd, &c.dir) }

// project reads which containers the installation has.
func (c *containers) project() (stack.Project, error) {
	config, paths, err := readInstallation(c.dir)
	return stack.Project{Name: config.Name, Dir: paths.Dir, File: paths.Compose()}, err
}

// change is call for commands that start or stop something: not while another run
// does.
func (c *containers) change(e *env, what string, f func(ctx context.Context, engine *stack.Engine, p stack.Project, args []string) error) func(*cobra.Command, []string) error {
	return c.call(e, func(ctx context.Context, engine *stack.Engine, p stack.Project, args []string) error {
		lock, err := provision.AcquireLock(p.Dir, what, e.now())
		if err != nil {
			return err
		}
		defer lock.Release()
		return f(ctx, engine, p, args)
	})
}

// call makes a command's run function of one that needs the engine. What the
// engine does meanwhile is noted on e, each text once in a row.
func (c *containers) call(e *env, f func(ctx context.Context, engine *stack.Engine, p stack.Project, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		p, err := c.project()
		if err != nil {
			return err
		}
		engine, err := stack.Connect(cmd.Context())
		if err != nil {
			return err
		}
		defer engine.Close()
		return f(step.WithProgress(cmd.Context(), noteProgress(e)), engine, p, args)
	}
}

func noteProgress(e *env) func(step.Progress) {
	var mu sync.Mutex
	last := ""
	return func(p step.Progress) {
		mu.Lock()
		defer mu.Unlock()
		text := p.Text
		if p.Total > 0 {
			text = fmt.Sprintf("%s (%d of %d)", text, p.Done, p.Total)
		}
		if text != last {
			last = text
			e.note("%s", visible(text))
		}
	}
}
