package api

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// writeJSON writes an answer, with status 200 as every success. Lists and maps that are nil are empty, never null;
// omitempty leaves out what is absent, not what is false, zero or blank.
func writeJSON(w http.ResponseWriter, answer any) error {
	body, err := json.Marshal(answer, jsonv1.OmitEmptyWithLegacySemantics(true))
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if _, err := w.Write(body); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}
