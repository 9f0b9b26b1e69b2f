package httpx

import (
	"bytes"
	"io"
	"sync"

	"github.com/gin-gonic/gin"
	"github.com/gin-gonic/gin/binding"
	ginjson "github.com/gin-gonic/gin/codec/json"
	"github.com/go-json-experiment/json"
)

// configureGin sets what gin keeps per process: its mode, the JSON codec that
// generated code decodes bodies with, and no validator, since bodies are held
// against the document's schemas instead. These are gin's only globals we touch.
var configureGin = sync.OnceFunc(func() {
	gin.SetMode(gin.ReleaseMode)
	ginjson.API = codec{}
	binding.Validator = nil
})

// codec is encoding/json's second version: names match exactly and come once,
// text is UTF-8 without lone surrogates, nothing follows the value, and an error
// says with a JSON pointer where it is.
type codec struct{}

func (codec) Marshal(v any) ([]byte, error)                    { return json.Marshal(v) }
func (codec) Unmarshal(data []byte, v any) error               { return json.Unmarshal(data, v) }
func (codec) MarshalIndent(v any, _, _ string) ([]byte, error) { return json.Marshal(v) }
func (codec) NewEncoder(w io.Writer) ginjson.Encoder           { return encoder{w} }
func (codec) NewDecoder(r io.Reader) ginjson.Decoder           { return decoder{r} }

type encoder struct{ w io.Writer }

// SetEscapeHTML does nothing: answers are JSON, never HTML.
func (encoder) SetEscapeHTML(bool) {}

func (e encoder) Encode(v any) error { return json.MarshalWrite(e.w, v) }

type decoder struct{ r io.Reader }

// UseNumber does nothing: free JSON stays the client's bytes.
func (decoder) UseNumber() {}

// DisallowUnknownFields does nothing: unknown members are ignored.
func (decoder) DisallowUnknownFields() {}

// Decode decodes the whole body; io.EOF says that there is none, which generated
// code takes for an absent optional body.
func (d decoder) Decode(v any) error {
	var raw []byte
	if body, ok := d.r.(*whole); ok {
		raw = body.raw
	} else {
		var err error
		if raw, err = io.ReadAll(d.r); err != nil {
			return err
		}
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return io.EOF
	}
	return json.Unmarshal(raw, v)
}
