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
	ahead, err := m.ahead(ctx, all)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, p := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\n", p.Name, p.Position, ahead.state(p))
	}
	return table.Flush()
}

// lookAhead bounds how many events are read to tell which of them a read model
// has yet to show.
const lookAhead = 20_000

// ahead is what the log has that read models have yet to show.
type ahead struct {
	unshown map[string]int // events, by read model
	until   eventlog.Position
	more    bool // the log goes on behind until
}

// ahead looks at the log behind the read model that is least far. An event that
// changes nothing in a read model is shown by it as it is.
func (m *maintenance) ahead(ctx context.Context, all []projections.Progress) (ahead, error) {
	engine, err := m.engine()
	if err != nil {
		return ahead{}, err
	}
	a := ahead{unshown: map[string]int{}}
	all = slices.DeleteFunc(slices.Clone(all), func(p projections.Progress) bool { return p.Retired || p.Failure != "" })
	for i, p := range all {
		if i == 0 || p.Position.Less(a.until) {
			a.until = p.Position
		}
	}
	const page = 1000
	for read := 0; read < lookAhead && (read == 0 || a.more); read += page {
		var records []eventlog.Record
		if records, a.until, a.more, err = m.log.ReadAll(ctx, a.until, page); err != nil {
			return ahead{}, err
		}
		for _, p := range all {
			behind := slices.IndexFunc(records, func(r eventlog.Record) bool { return p.Position.Less(r.Position) })
			if behind >= 0 {
				a.unshown[p.Name] += engine.Changes(p.Name, records[behind:])
			}
		}
	}
	return a, nil
}

func (a ahead) state(p projections.Progress) string {
	n := a.unshown[p.Name]
	switch {
	case p.Retired:
		return "left by an earlier version; `g4fagent readmodels drop` removes it"
	case p.Failure != "":
		return "stuck: " + p.Failure
	case a.more && a.until.Less(p.Position):
		return "not looked at: another read model has too much to show"
	case a.more:
		return fmt.Sprintf("events to show: more than %d; the server shows them when it runs", n)
	case n > 0:
		return fmt.Sprintf("events to show: %d; the server shows them when it runs", n)
	default:
		return "shows the whole log"
	}
}
