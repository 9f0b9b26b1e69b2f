package projections_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/g4fagent/g4fagent/projections"
)

// Every read model below this folder is a function of the log: no SQL in its
// sources, and no Go beside it, asks a clock or draws lots.
func TestReadModelsDependOnTheLogAlone(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		model := filepath.Dir(path) != "." && !strings.HasPrefix(path, "projectiontest")
		if d.IsDir() || !model || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, found := range fickle(t, path, source) {
			t.Error(found)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFickleSourcesAreFound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file, source string
		found        int
	}{
		"a clock in SQL":          {"a.go", "package a\nconst sql = `insert into a_v1 values (now())`", 1},
		"a clock in Go":           {"a.go", "package a\nimport \"time\"\nvar at = time.Now()", 1},
		"lots in Go":              {"a.go", "package a\nimport \"math/rand/v2\"\nvar n = rand.Int()", 1},
		"an id made in Go":        {"a.go", "package a\nimport \"github.com/google/uuid\"\nvar id = uuid.New()", 1},
		"an id that is derived":   {"a.go", "package a\nimport \"github.com/google/uuid\"\nfunc f(id uuid.UUID) uuid.UUID { return uuid.NewSHA1(id, nil) }", 0},
		"a serial in a schema":    {"schema.sql", "create table a_v1 (id bigserial)", 1},
		"jsonb in a query":        {"a.go", "package a\nvar q = \"select body::jsonb from a_v1\"", 1},
		"words that only sound":   {"a.go", "package a\n// It is done by now, not at random().\nvar s = \"now or never\"", 0},
		"time that was given":     {"a.go", "package a\nimport \"time\"\nfunc f(at time.Time) time.Time { return at.UTC() }", 0},
		"a comment in the schema": {"schema.sql", "create table a_v1 (id text) -- never now()", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if found := fickle(t, test.file, []byte(test.source)); len(found) != test.found {
				t.Errorf("found %q", found)
			}
		})
	}
}

// fickle lists what in a read model's source depends on more than the log.
func fickle(t *testing.T, path string, source []byte) (found []string) {
	t.Helper()
	switch filepath.Ext(path) {
	case ".sql":
		if err := projections.Deterministic(string(source)); err != nil {
			found = append(found, path+": "+err.Error())
		}
	case ".go":
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, source, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if what := fickleNode(n); what != "" {
				found = append(found, files.Position(n.Pos()).String()+": "+what)
			}
			return true
		})
	}
	return found
}

func fickleNode(n ast.Node) string {
	switch n := n.(type) {
	case *ast.BasicLit:
		if n.Kind != token.STRING {
			return ""
		}
		text, err := strconv.Unquote(n.Value)
		if err != nil {
			return err.Error()
		}
		if err := projections.Deterministic(text); err != nil {
			return err.Error()
		}
	case *ast.SelectorExpr:
		name, ok := n.X.(*ast.Ident)
		if !ok {
			return ""
		}
		switch name.Name + "." + n.Sel.Name {
		case "time.Now", "time.Since", "time.Until":
			return "a read model has no clock: take the time as an argument, or the record's"
		}
		named := n.Sel.Name == "NewSHA1" || n.Sel.Name == "NewMD5" // such an id follows from what it names
		if name.Name == "rand" || name.Name == "uuid" && strings.HasPrefix(n.Sel.Name, "New") && !named {
			return "a read model draws no lots"
		}
	}
	return ""
}
