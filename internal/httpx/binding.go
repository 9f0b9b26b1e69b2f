package httpx

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/g4fagent/g4fagent/api"
)

// New is the handler of all of the document's operations, as server answers
// them, and of what stands beside them. It compiles the document's schemas, so
// that no request has to.
func New(o Options, server api.StrictServerInterface) (http.Handler, error) {
	e, err := newEdge(o)
	if err != nil {
		return nil, err
	}
	api.Compile()
	e.validate = api.ValidateBody
	strict := api.NewStrictHandler(server, api.StrictGinServerOptions{
		RequestErrorHandlerFunc:  e.onBody,
		HandlerErrorFunc:         e.onError,
		ResponseErrorHandlerFunc: e.onError,
	})
	err = e.assemble(api.Operations(), func(router gin.IRouter) {
		api.RegisterHandlersWithOptions(router, strict, api.GinServerOptions{BaseURL: e.base, ErrorHandler: e.onParameter})
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// The generated code reports errors in four places. All of them lead to answer,
// so that a client sees one shape of error.

// onParameter is for a parameter that is missing or has the wrong type.
func (e *edge) onParameter(c *gin.Context, err error, _ int) {
	x := exchangeOf(c)
	e.answer(x, c.Writer, x.operation.parameterFault(err))
}

// onBody is for a body that does not decode.
func (e *edge) onBody(c *gin.Context, err error) {
	x := exchangeOf(c)
	e.answer(x, c.Writer, e.missing(c, x, decodeFault(err)))
}

// onError is for what a handler returns, and for an answer that cannot be
// encoded or written.
func (e *edge) onError(c *gin.Context, err error) { e.answer(exchangeOf(c), c.Writer, err) }
