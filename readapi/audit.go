package readapi

import (
	"context"
	"encoding/hex"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/projections/audit"
)

// auditReads bounds the reads of the log that one page makes at a time.
const auditReads = 8

// ListAudit answers GET /audit: the index says where the events are, the log what
// they are.
func (q Reads) ListAudit(ctx context.Context, r api.ListAuditRequestObject) (api.ListAuditResponseObject, error) {
	n := limit(r.Params.Limit)
	rows, err := audit.List(ctx, q.DB, audit.Filter{
		Type: text(r.Params.Type), ProjectID: text(r.Params.ProjectID), Actor: text(r.Params.Actor),
		From: timeOf(r.Params.From), To: timeOf(r.Params.To),
	}, cursor(r.Params.Cursor), n+1)
	if err != nil {
		return nil, err
	}
	kept, next := page(rows, n, func(a audit.Address) audit.Address { return a }, func(a audit.Address) int64 { return a.Position })
	items, err := q.auditRecords(ctx, kept)
	if err != nil {
		return nil, err
	}
	return api.ListAudit200JSONResponse{Items: items, NextCursor: next}, nil
}

// span is a range of one stream: neighbours in the trail are often neighbours
// there, and are read together.
type span struct {
	stream      string
	first, last int64
	places      map[int64]int // from the revision to the place in the page
}

func spans(addresses []audit.Address) []*span {
	var all []*span
	latest := map[string]*span{}
	for i, a := range addresses {
		s := latest[a.Stream]
		if s == nil || a.Revision > s.last+auditReads {
			s = &span{stream: a.Stream, first: a.Revision, places: map[int64]int{}}
			latest[a.Stream] = s
			all = append(all, s)
		}
		s.last = a.Revision
		s.places[a.Revision] = i
	}
	return all
}

func (q Reads) auditRecords(ctx context.Context, addresses []audit.Address) ([]api.AuditRecord, error) {
	items := make([]api.AuditRecord, len(addresses))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(auditReads)
	for _, s := range spans(addresses) {
		group.Go(func() error { return q.readSpan(ctx, s, items) })
	}
	return items, group.Wait()
}

func (q Reads) readSpan(ctx context.Context, s *span, items []api.AuditRecord) error {
	records, err := q.Log.Read(ctx, s.stream, s.first, int(s.last-s.first+1))
	if err != nil {
		return err
	}
	found := 0
	for _, r := range records {
		place, wanted := s.places[r.Revision]
		if !wanted {
			continue
		}
		if items[place], err = q.auditRecord(r); err != nil {
			return err
		}
		found++
	}
	if found != len(s.places) {
		return fmt.Errorf("the audit index names events of %s between %d and %d that the log does not have", s.stream, s.first, s.last)
	}
	return nil
}

func (q Reads) auditRecord(r eventlog.Record) (api.AuditRecord, error) {
	data, err := eventschema.All.Disclose(r.Stored, q.Sealer)
	if err != nil {
		return api.AuditRecord{}, err
	}
	shown := api.AuditRecord{
		ID: "audit_" + hex.EncodeToString(r.ID[:]), TS: api.Time(r.Meta.At), Type: r.Stored.Name, Data: data,
		ActorUserID: r.Meta.ActorUserID, ActorKind: r.Meta.ActorKind, CredentialID: r.Meta.CredentialID,
		RequestID: r.Meta.RequestID, IP: r.Meta.IP, Stream: r.Stream, Revision: r.Revision,
	}
	if r.Meta.ProjectID != "" {
		shown.ProjectID = &r.Meta.ProjectID
	}
	return shown, nil
}
