package projections

import (
	"fmt"
	"strings"
)

// Table is a table of a read model as far as rows are added to it. It is
// immutable.
type Table struct {
	columns int
	insert  string
}

// NewTable names the table and its columns, each with its type, such as "position
// bigint"; a type must not be an array. Columns that are not named get their
// defaults.
func NewTable(name string, columns ...string) *Table {
	names, arrays := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		column, kind, ok := strings.Cut(c, " ")
		if !ok {
			panic(fmt.Sprintf("projections: the column %q of %s has no type", c, name))
		}
		names[i], arrays[i] = column, fmt.Sprintf("$%d::%s[]", i+1, kind)
	}
	return &Table{len(columns), "insert into " + name + " (" + strings.Join(names, ", ") + ") select * from unnest(" + strings.Join(arrays, ", ") + ")"}
}

// Insert queues a row, with a value for each of the table's columns. It is Exec
// of an insert, but cheaper: rows that a projector adds to one table with nothing
// between them are one statement.
func (b *Batch) Insert(t *Table, values ...any) {
	if len(values) != t.columns {
		b.Fail(fmt.Errorf("insert %d values into %d columns: %s", len(values), t.columns, t.insert))
		return
	}
	if s := b.lastOf(b.owner); s != nil && s.table == t {
		for i, v := range values {
			s.args[i] = append(s.args[i].([]any), v)
		}
		s.record = nil // it is not one record's alone
		return
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = []any{v}
	}
	b.queue(statement{sql: t.insert, args: args, owner: b.owner, record: b.record, table: t})
}

// queue adds a statement behind all others.
func (b *Batch) queue(s statement) {
	b.statements = append(b.statements, s)
	if b.last == nil {
		b.last = map[*Projector]int{}
	}
	b.last[s.owner] = len(b.statements) - 1
}

// lastOf is the projector's last statement. What others have queued since is
// about tables of theirs: the order between the two does not matter.
func (b *Batch) lastOf(p *Projector) *statement {
	if i, ok := b.last[p]; ok {
		return &b.statements[i]
	}
	return nil
}
