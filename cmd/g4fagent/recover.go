package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/g4fagent/g4fagent/commands/reactors"
)

func newRecover() *cobra.Command {
	c := &config{}
	cmd := &cobra.Command{
		Use: "recover", Args: cobra.NoArgs,
		Short: "Make lost jobs anew from the log",
		Long: `Fold the log to what was begun and has no outcome (unfinished runs, sessions and
users whose streams were not started, deleted projects that are not closed) and
insert jobs for just that. Needed only when Postgres' tables of jobs were lost,
as after a restore: everything else recovers by itself.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.maintain(cmd, func(ctx context.Context, m *maintenance) error { return m.recover(ctx, cmd.OutOrStdout()) })
		},
	}
	c.dataFlags(cmd.Flags())
	return cmd
}

func (m *maintenance) recover(ctx context.Context, out io.Writer) error {
	r, err := reactors.New(reactors.Options{DB: m.db, Log: m.log, Sealer: m.vault, InstallationID: m.installation, Logger: m.logger})
	if err != nil {
		return err
	}
	recovery, err := r.Recover(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The log was read up to %s.\n", recovery.Position)
	for _, kind := range slices.Sorted(maps.Keys(recovery.Jobs)) {
		fmt.Fprintf(out, "%6d jobs of kind %s\n", recovery.Jobs[kind], kind)
	}
	return nil
}
