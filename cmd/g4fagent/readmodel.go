package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/snapshot"
	"github.com/g4fagent/g4fagent/projections"
)

var errDifferent = errors.New("the read models are not what the log says; `g4fagent rebuild` makes them so")

func newFsck() *cobra.Command {
	c := &config{}
	cmd := &cobra.Command{
		Use: "fsck", Args: cobra.NoArgs,
		Short: "Prove that the read models are what the log says",
		Long: `Replay the log into scratch tables and compare them with the read models, row by
row. The embedded server must not be running: one process has the data folder.

Exit code 0: no difference. 3: there is one. 1: it could not be found out.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.maintain(cmd, func(ctx context.Context, m *maintenance) error { return m.fsck(ctx, cmd.OutOrStdout()) })
		},
	}
	c.dataFlags(cmd.Flags())
	return cmd
}

func newRebuild() *cobra.Command {
	c := &config{}
	var names []string
	cmd := &cobra.Command{
		Use: "rebuild", Args: cobra.NoArgs,
		Short: "Build the read models again from the log",
		Long: `Build read models again from the log's start, beside the ones in use, and put them
in their place at once. Nothing is lost by it: read models are derived.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := areReadModels(names...); err != nil {
				return usageError{fmt.Errorf("--projection: %w", err)}
			}
			return c.maintain(cmd, func(ctx context.Context, m *maintenance) error { return m.rebuild(ctx, cmd.OutOrStdout(), names) })
		},
	}
	c.dataFlags(cmd.Flags())
	cmd.Flags().StringSliceVar(&names, "projection", nil, "name of a read model, such as messages_v1 (default all)")
	return cmd
}

// areReadModels says which of the names none of this program's read models has.
func areReadModels(names ...string) error {
	all := projectorNames()
	for _, name := range names {
		if !slices.Contains(all, name) {
			return fmt.Errorf("there is no read model %q; there are %s", name, strings.Join(all, ", "))
		}
	}
	return nil
}

// maintenance is what looks after an installation while no server runs.
type maintenance struct {
	*foundation

	installation string
}

// maintain opens what c names for work, and closes it again.
func (c *config) maintain(cmd *cobra.Command, work func(context.Context, *maintenance) error) (err error) {
	if err := c.load(cmd.Flags(), os.Getenv); err != nil {
		return err
	}
	logger, err := c.logger()
	if err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(cmd.Context())
	defer end(nil)
	base, err := open(ctx, c, logger, nil)
	if err != nil {
		return err
	}
	defer func() {
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeBound)
		defer cancel()
		err = errors.Join(err, base.close(bound))
	}()
	agreement, err := base.fit(ctx, time.Now())
	if err != nil {
		return err
	}
	var holding sync.WaitGroup
	holding.Go(func() { end(agreement.Hold(ctx)) })
	defer func() {
		end(nil)
		holding.Wait()
	}()
	handlers, err := commands.New(commands.Options{Log: base.log, Vault: base.vault, Now: time.Now, Logger: logger})
	if err != nil {
		return err
	}
	installation, err := installationOf(ctx, base.log, handlers)
	if err != nil {
		return err
	}
	return work(ctx, &maintenance{base, installation})
}

func (m *maintenance) engine() (*projections.Engine, error) {
	return projections.NewEngine(projections.Options{
		Pool: m.db.Pool(), Log: m.log, Source: source(m.log), Catalogue: eventschema.All, Sealer: m.vault,
		Projectors: projectors(), InstallationID: m.installation, Logger: m.logger,
	})
}

func (m *maintenance) fsck(ctx context.Context, out io.Writer) error {
	engine, err := m.engine()
	if err != nil {
		return err
	}
	differences, err := engine.Fsck(ctx)
	if err != nil {
		return err
	}
	for _, d := range differences {
		fmt.Fprintln(out, d)
	}
	if len(differences) > 0 {
		return errDifferent
	}
	fmt.Fprintln(out, "The read models are what the log says.")
	return nil
}

func (m *maintenance) rebuild(ctx context.Context, out io.Writer, names []string) error {
	engine, err := m.engine()
	if err != nil {
		return err
	}
	if err := engine.Rebuild(ctx, names...); err != nil {
		return err
	}
	snapshots, err := snapshot.Open(ctx, m.db.Pool())
	if err != nil {
		return err
	}
	if err := snapshots.Reset(ctx); err != nil {
		return err
	}
	if len(names) == 0 {
		fmt.Fprintln(out, "All read models were built again.")
		return nil
	}
	fmt.Fprintf(out, "Built again: %s.\n", strings.Join(names, ", "))
	return nil
}
