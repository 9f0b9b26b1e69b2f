package httpx

import (
	"github.com/gin-gonic/gin"
)

// The generated code reports errors in four places. All of them lead to answer,
// so that a client sees one shape of error.

// onParameter is for a parameter that is missing or has the wrong type.
func (e *edge) onParameter(c *gin.Context, err error, _ int) {
	e.answer(exchangeOf(c), c.Writer, parameterFault(err))
}

// onBody is for a body that does not decode.
func (e *edge) onBody(c *gin.Context, err error) {
	x := exchangeOf(c)
	e.answer(x, c.Writer, e.missing(c, x, decodeFault(err)))
}

// onHandler is for what a handler returns.
func (e *edge) onHandler(c *gin.Context, err error) { e.answer(exchangeOf(c), c.Writer, err) }

// onResponse is for an answer that cannot be encoded or written.
func (e *edge) onResponse(c *gin.Context, err error) { e.answer(exchangeOf(c), c.Writer, err) }
