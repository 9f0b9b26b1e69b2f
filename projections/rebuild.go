package projections

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// Rebuild builds the named read models again from the log's start, all of them
// if none is named, beside the live ones, and puts the new tables in their place
// in one transaction. Readers see the old rows until then. The engine may be
// running: it waits for some milliseconds and goes on where it was. It needs as
// much disk again as the read models use.
//
// Rebuild accepts a changed schema, another installation's rows and a checkpoint
// ahead of the log: it is what the engine asks for when it refuses to start.
func (e *Engine) Rebuild(ctx context.Context, names ...string) (err error) {
	projectors, err := e.named(names)
	if err != nil {
		return err
	}
	s, err := e.newScratch(ctx, projectors)
	if err != nil {
		return err
	}
	defer func() {
		if closing := s.close(ctx); err == nil {
			err = closing
		}
	}()
	tx, err := s.meet(ctx, e.within)
	if err != nil {
		return err
	}
	if err := s.replace(ctx, tx); err != nil {
		_ = tx.Rollback(context.WithoutCancel(ctx)) // the first error tells more
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("switch to the rebuilt tables: %w", err)
	}
	return nil
}

// within is the checkpoint's position, or the log's head when the position says
// nothing about this log. The head is asked for after the checkpoint was read: a
// running engine is never ahead of it.
func (e *Engine) within(ctx context.Context, c checkpoint) (eventlog.Position, error) {
	head, err := e.options.Log.Head(ctx)
	if err != nil {
		return eventlog.Position{}, fmt.Errorf("find the log's head: %w", err)
	}
	if c.installation != e.options.InstallationID || head.Less(c.position) {
		return head, nil
	}
	return c.position, nil
}

func (e *Engine) named(names []string) ([]*Projector, error) {
	if len(names) == 0 {
		return e.options.Projectors, nil
	}
	var found []*Projector
	for _, name := range names {
		i := slices.IndexFunc(e.options.Projectors, func(p *Projector) bool { return p.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("rebuild %s: there is no such projector", name)
		}
		if !slices.Contains(found, e.options.Projectors[i]) {
			found = append(found, e.options.Projectors[i])
		}
	}
	return found, nil
}

// replace puts the scratch tables where the live ones were.
func (s *scratch) replace(ctx context.Context, tx pgx.Tx) error {
	schema, err := currentSchema(ctx, tx)
	if err != nil {
		return err
	}
	for _, m := range s.members {
		p := m.projector
		if err := dropTables(ctx, tx, p); err != nil {
			return err
		}
		again, err := tables(ctx, tx, p, scratchSchema)
		if err != nil {
			return err
		}
		for _, table := range again {
			move := `alter table ` + pgx.Identifier{scratchSchema, table}.Sanitize() + ` set schema ` + pgx.Identifier{schema}.Sanitize()
			if _, err := tx.Exec(ctx, move); err != nil {
				return fmt.Errorf("move %s: %w", table, err)
			}
		}
		_, err = tx.Exec(ctx, `
			update projection_checkpoint
			   set commit_position = $2, prepare_position = $3, schema_hash = $4, installation_id = $5, failure = null
			 where name = $1`, p.Name, int64(s.at[m].Commit), int64(s.at[m].Prepare), p.hash(), s.engine.options.InstallationID)
		if err != nil {
			return fmt.Errorf("set the checkpoint of %s: %w", p.Name, err)
		}
	}
	return nil
}
