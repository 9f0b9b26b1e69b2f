package main

import (
	"context"
	"fmt"
	"net/http"
)

const auditPage = 50

// queries are pages of the audit, each found by another of its indexes.
func (b *bench) queries() []query {
	return []query{
		{"everything", ""},
		{"one project, one type", "&project_id=" + b.project + "&type=message.posted"},
		{"one actor", "&actor=user_admin"},
	}
}

type query struct{ what, filter string }

// measureShortAudit reads pages while the log is short, but fills each of them.
func (b *bench) measureShortAudit(ctx context.Context) error {
	sessions, err := b.server.createSessions(ctx, b.project, 1)
	if err != nil {
		return err
	}
	if err := b.fillPage(ctx, sessions[0]); err != nil {
		return err
	}
	for _, q := range b.queries() {
		f, err := b.page(ctx, q, 0)
		if err != nil {
			return err
		}
		b.shortAudit = append(b.shortAudit, f)
	}
	return nil
}

// measureAudit compares pages from the start and from the middle of a long log
// with the first of a short one, by the CPU time they take: the two are minutes
// apart, and what else the machine does changes how long they take.
func measureAudit(ctx context.Context, b *bench) error {
	middle, err := b.middle(ctx)
	if err != nil {
		return err
	}
	for i, q := range b.queries() {
		for _, at := range []struct {
			what   string
			cursor int64
		}{{"first", 0}, {"middle", middle}} {
			f, err := b.page(ctx, q, at.cursor)
			if err != nil {
				return err
			}
			l := row{
				part: "audit", what: fmt.Sprintf("%s page of %d, %s, %d events", at.what, auditPage, q.what, b.events), c: 1, ours: f,
				yardstick: "first page, short log", theirs: b.shortAudit[i],
			}
			if l.theirs.cpu > 0 {
				share := float64(f.cpu) / float64(l.theirs.cpu)
				l.verdict, l.goal, l.note = fmt.Sprintf("%.2f × CPU", share), "≤ 2.00 ×", met(share <= 2)
			}
			b.report.add(l)
		}
	}
	return nil
}

// page reads one page again and again.
func (b *bench) page(ctx context.Context, q query, cursor int64) (figure, error) {
	path := fmt.Sprintf("/audit?limit=%d&cursor=%d%s", auditPage, cursor, q.filter)
	workers, end, err := getters(ctx, b.server.address, b.server.request(http.MethodGet, path, ""), 1)
	if err != nil {
		return figure{}, err
	}
	defer end()
	var warm, s sample
	if err := warm.add(ctx, workers, b.round/4); err != nil {
		return figure{}, err
	}
	err = s.add(ctx, workers, b.round)
	return figureOf(&s), err
}

// middle is the cursor of a page about halfway through the log.
func (b *bench) middle(ctx context.Context) (int64, error) {
	c, err := dial(ctx, b.server.address)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }() // nothing is left to be sent
	post := b.server.request(http.MethodPost, "/sessions/"+b.seeded.session+"/messages", message("{}"))
	res, err := c.send(post)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }() // it was read
	var head int64
	if _, err := fmt.Sscan(res.Header.Get("X-Commit-Position"), &head); err != nil {
		return 0, fmt.Errorf("read the log's head: %w", err)
	}
	return head / 2, nil
}
