package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// errMoved says that a checkpoint was not where the batch started.
var errMoved = errors.New("a checkpoint is not where the batch started")

// outage is an error that is not a projector's: Postgres is away, out of
// something, or asks to try again.
type outage struct{ err error }

func (o *outage) Error() string { return o.err.Error() }
func (o *outage) Unwrap() error { return o.err }

// transactionBound ends a transaction whose connection is gone without notice.
const transactionBound = 30 * time.Second

// lease holds one connection of the pool for as long as it works: a batch must
// not queue behind the pool's other users. Only its owner uses it.
type lease struct {
	pool   *pgxpool.Pool
	conn   *pgxpool.Conn
	notify bool // others wait for what is committed
}

func (l *lease) release() {
	if l.conn != nil {
		l.conn.Release()
		l.conn = nil
	}
}

// commit moves the roster from one position to another and runs the statements,
// all in one transaction and one round trip: an extended-protocol pipeline is a
// transaction of its own, undone by the first error in it.
//
// Its error is errMoved, an outage, a failure that names the statement's
// projector and record, or a failure of the transaction as a whole.
func (l *lease) commit(ctx context.Context, who *roster, from, to eventlog.Position, statements []statement) error {
	ctx, cancel := context.WithTimeout(ctx, transactionBound)
	defer cancel()
	if l.conn == nil {
		conn, err := l.pool.Acquire(ctx)
		if err != nil {
			return &outage{fmt.Errorf("get a connection: %w", err)}
		}
		l.conn = conn
	}
	failed, err := send(ctx, l.conn.Conn(), &advance{who.names, from, to, l.notify}, statements)
	if err == nil {
		return nil
	}
	broken := l.conn.Conn().IsClosed()
	if broken {
		l.release()
	}
	return classify(err, broken, failed)
}

// advance moves the checkpoints, before anything else of a batch is done.
type advance struct {
	names    []string
	from, to eventlog.Position
	notify   bool
}

// send pipelines the statements behind move, which may be nil. On an error it
// returns the statement that failed, nil if it is not known or was the move.
func send(ctx context.Context, conn *pgx.Conn, move *advance, statements []statement) (*statement, error) {
	batch := &pgx.Batch{QueuedQueries: make([]*pgx.QueuedQuery, 0, len(statements)+2)}
	if move != nil {
		batch.Queue(`select projection_advance($1, $2, $3, $4, $5)`, move.names,
			int64(move.from.Commit), int64(move.from.Prepare), int64(move.to.Commit), int64(move.to.Prepare))
		if move.notify {
			batch.Queue(`select pg_notify('` + Channel + `', '')`)
		}
	}
	for _, s := range statements {
		batch.Queue(s.sql, s.args...)
	}
	results := conn.SendBatch(ctx, batch)
	for i := range batch.Len() {
		if _, err := results.Exec(); err != nil {
			_ = results.Close() // it repeats the error
			return culprit(err, i-batch.Len()+len(statements), statements), err
		}
	}
	return nil, results.Close()
}

// culprit is the statement that err is about: the one whose result failed or,
// when the batch was refused before it was sent, the first with its text.
func culprit(err error, index int, statements []statement) *statement {
	early, isEarly := errors.AsType[pgx.ErrPreprocessingBatch](err)
	for i := range statements {
		if isEarly && statements[i].sql == early.SQL() || !isEarly && i == index {
			return &statements[i]
		}
	}
	return nil
}

func classify(err error, broken bool, failed *statement) error {
	refused, fromServer := errors.AsType[*pgconn.PgError](err)
	switch {
	case fromServer && refused.Code == codeMoved:
		return fmt.Errorf("%w: %s", errMoved, refused.Message)
	case fromServer && passing(refused.Code), broken && !fromServer:
		return &outage{err}
	case failed != nil:
		return &failure{owner: failed.owner, record: failed.record, err: err}
	default:
		return &failure{err: err}
	}
}

// passing reports whether an SQLSTATE may be gone at the next attempt without
// anybody's doing.
func passing(code string) bool {
	switch code {
	case "55P03", "55006": // a lock, an object in use
		return true
	}
	switch code[:2] {
	case "08", "40", "53", "57", "58": // connection, deadlock, resources, intervention, system
		return true
	}
	return false
}

// recoverable reports whether what could not be prepared may be possible later.
func recoverable(err error) bool {
	if errors.Is(err, ErrSchemaChanged) || errors.Is(err, ErrOtherInstallation) || errors.Is(err, ErrAheadOfLog) {
		return false
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return passing(refused.Code)
	}
	return true
}
