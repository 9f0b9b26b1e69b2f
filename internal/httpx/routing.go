package httpx

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/g4fagent/g4fagent/internal/identity"
	"github.com/g4fagent/g4fagent/internal/logline"
)

// route is how gin names what it matched.
type route struct{ method, path string }

// newEngine is a gin engine that serves the operations and nothing else: no
// redirects, no decoding of path parameters, and its refusals in our envelope.
func (e *edge) newEngine(register func(gin.IRouter)) (*gin.Engine, error) {
	configureGin()
	engine := gin.New()
	engine.RedirectTrailingSlash = false
	engine.RedirectFixedPath = false
	engine.HandleMethodNotAllowed = true
	engine.ContextWithFallback = true
	engine.ForwardedByClientIP = false // clientIP has decided
	engine.UseEscapedPath = true       // an id is what the client wrote: proj%5Fx is not proj_x
	engine.UnescapePathValues = false
	engine.NoRoute(func(c *gin.Context) { e.answer(exchangeOf(c), c.Writer, errNotFound) })
	engine.NoMethod(func(c *gin.Context) {
		c.Header("Allow", allow(c.Writer.Header().Get("Allow")))
		e.answer(exchangeOf(c), c.Writer, errMethodNotAllowed)
	})
	register(engine.Group("/", e.operate))

	for _, r := range engine.Routes() {
		if e.operations[route{r.Method, r.Path}] == nil {
			return nil, fmt.Errorf("route %s %s is no operation of the document", r.Method, r.Path)
		}
	}
	if routes := len(engine.Routes()); routes != len(e.operations) {
		return nil, fmt.Errorf("%d operations have %d routes", len(e.operations), routes)
	}
	return engine, nil
}

// allow completes the methods that gin found at a path (RFC 9110, 10.2.1).
func allow(methods string) string {
	all := strings.Split(methods, ", ")
	if slices.Contains(all, http.MethodGet) {
		all = append(all, http.MethodHead)
	}
	all = append(all, http.MethodOptions)
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// exchangeOf is the exchange below gin's writer.
func exchangeOf(c *gin.Context) *exchange {
	return c.Writer.(interface{ Unwrap() http.ResponseWriter }).Unwrap().(*exchange) // edge.ServeHTTP put it there
}

// operate is what happens around each operation.
func (e *edge) operate(c *gin.Context) {
	x := exchangeOf(c)
	if err := e.conduct(c, x); err != nil {
		c.Abort()
		e.answer(x, c.Writer, err)
	}
}

// conduct runs the operation, or reports why it does not. The order is the
// contract's: who asks, whether they may, what they sent, whether there is room,
// and whether the read models are far enough.
func (e *edge) conduct(c *gin.Context, x *exchange) error {
	o := e.operations[route{c.Request.Method, c.FullPath()}]
	x.operation, x.label = o, o.ID
	if x.r.Method == http.MethodHead && o.Stream {
		c.Header("Allow", "GET, OPTIONS") // a stream without its body is nothing
		return errMethodNotAllowed
	}
	x.request.OperationID, x.request.TraceID = o.ID, traceID(x.r.Header)
	x.ctx, x.line = logline.Open(context.WithValue(x.ctx, exchangeKey{}, x))
	x.ctx = identity.WithRequest(x.ctx, x.request)

	if err := e.enter(x); err != nil {
		return err
	}
	if err := x.keyed(); err != nil {
		return err
	}
	held := &holding{of: e.bodies}
	defer held.release()
	body, err := e.receive(x, held)
	if err != nil {
		return e.missing(c, x, err)
	}
	if x.request.IdempotencyKey != "" {
		x.ctx = identity.WithRequest(x.ctx, x.request) // now with its key and input
	}
	leave, err := e.admit(o)
	if err != nil {
		return err
	}
	defer leave()
	e.run(c, x, body)
	return nil
}

// run runs the generated code and with it the handler. It answers its own
// refusal while the context is alive: afterwards every context looks as if the
// client had left.
func (e *edge) run(c *gin.Context, x *exchange, body io.ReadCloser) {
	stop := e.limit(x, body)
	defer stop()
	c.Request = c.Request.WithContext(x.ctx)
	c.Request.Body = body
	if err := e.await(x); err != nil {
		c.Abort()
		e.answer(x, c.Writer, err)
		return
	}
	c.Next()
}

// limit ends the operation's context when it takes too long. Its end is told
// apart from the client's leaving by its cause. A raw body's operation has its
// time again with every part that arrives; a stream has no end.
func (e *edge) limit(x *exchange, body io.ReadCloser) (stop func()) {
	if x.operation.Stream {
		return func() {}
	}
	arriving, raw := body.(*arriving)
	if !raw {
		ctx, cancel := context.WithTimeoutCause(x.ctx, e.limits.Operation, errTooSlow)
		x.ctx = ctx
		return cancel
	}
	ctx, cancel := context.WithCancelCause(x.ctx)
	timer := time.AfterFunc(e.limits.Operation, func() { cancel(errTooSlow) })
	arriving.arrived = func() { timer.Reset(e.limits.Operation) }
	x.ctx = ctx
	return func() {
		timer.Stop()
		cancel(nil)
	}
}

// await lets a read wait for the position that the client has seen.
func (e *edge) await(x *exchange) error {
	position := x.r.Header.Get("X-Min-Position")
	if position == "" || x.operation.command || e.hooks.AwaitPosition == nil {
		return nil
	}
	return e.hooks.AwaitPosition(x.ctx, position)
}
