package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/projections"
)

func newReadModels() *cobra.Command {
	c := &config{}
	list := &cobra.Command{
		Use: "readmodels", Args: cobra.NoArgs,
		Short: "List the read models: how far each is, and what stops it",
		Long: `List the read models: how far each is in the log, what stops one that is stuck, and
which are left over from earlier versions. The embedded server must not be
running: one process has the data folder. While it runs, /health tells.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.maintain(cmd, func(ctx context.Context, m *maintenance) error { return m.list(ctx, cmd.OutOrStdout()) })
		},
	}
	c.dataFlags(list.PersistentFlags())
	list.AddCommand(newSkip(c), newDrop(c))
	return list
}

func newSkip(c *config) *cobra.Command {
	var at, reason string
	cmd := &cobra.Command{
		Use: "skip NAME --position P --reason TEXT", Args: cobra.ExactArgs(1),
		Short: "Have a stuck read model leave out the event that it does not get past",
		Long: `Have a stuck read model leave out, for ever, the event that it does not get past.
This is the last resort: what the event says will be missing from what the API
shows, though never from the log. The reason is kept beside it. The position is in
the server's log line "projection stuck", and in /health.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := areReadModels(args[0]); err != nil {
				return usageError{err}
			}
			position, err := eventlog.ParsePosition(at)
			if err != nil {
				return usageError{fmt.Errorf("--position: %w", err)}
			}
			if reason == "" {
				return usageError{errors.New("--reason is required: it is what others will know of this")}
			}
			return c.maintain(cmd, func(ctx context.Context, m *maintenance) error {
				if err := projections.Skip(ctx, m.db.Pool(), args[0], position, reason); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s leaves out the event at %s from now on.\n", args[0], position)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&at, "position", "", "position of the event in the log")
	cmd.Flags().StringVar(&reason, "reason", "", "why, and who agreed")
	return cmd
}

func newDrop(c *config) *cobra.Command {
	return &cobra.Command{
		Use: "drop NAME", Args: cobra.ExactArgs(1),
		Short: "Remove the tables of a read model that an earlier version left",
		RunE: func(cmd *cobra.Command, args []string) error {
			if name := args[0]; slices.Contains(projectorNames(), name) {
				return fmt.Errorf("%s is in use; `g4fagent rebuild --projection %s` builds it again", name, name)
			}
			return c.maintain(cmd, func(ctx context.Context, m *maintenance) error {
				if err := projections.Drop(ctx, m.db.Pool(), args[0]); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s is gone.\n", args[0])
				return nil
			})
		},
	}
}

func (m *maintenance) list(ctx context.Context, out io.Writer) error {
	if err := projections.Setup(ctx, m.db.Pool(), m.installation, projectors()...); err != nil {
		return err
	}
	all, err := projections.Standing(ctx, m.db.Pool(), projectors()...)
	if err != nil {
		return err
	}
	head, err := m.log.Head(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, p := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\n", p.Name, p.Position, state(p, head))
	}
	return table.Flush()
}

func state(p projections.Progress, head eventlog.Position) string {
	switch {
	case p.Retired:
		return "left by an earlier version; `g4fagent readmodels drop` removes it"
	case p.Failure != "":
		return "stuck: " + p.Failure
	case p.Position.Less(head):
		return "behind the log, which ends at " + head.String()
	default:
		return "shows the whole log"
	}
}
