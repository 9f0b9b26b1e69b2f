package main_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A write is visible to the next read, whoever else writes.
func TestReadYourWrites(t *testing.T) {
	t.Parallel()
	root := admin(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			session := root.session(root.project())
			for i := range 50 {
				title := fmt.Sprintf("title %d", i)
				root.must("PATCH", "/sessions/"+session, "", map[string]any{"title": title}, nil)
				var got struct{ Session struct{ Title string } }
				root.must("GET", "/sessions/"+session, "", nil, &got)
				if got.Session.Title != title {
					t.Errorf("wrote %q, read %q", title, got.Session.Title)
				}
			}
		})
	}
	wg.Wait()
}

func TestMinPosition(t *testing.T) {
	t.Parallel()
	c := admin(t)
	a := c.must("POST", "/projects", "", map[string]any{"name": "P"}, nil)
	at := a.header.Get("X-Commit-Position")
	c.send("GET", "/projects", "", "X-Min-Position", at).want(t, 200, "")
	ahead := strings.Map(func(r rune) rune { // the same shape, with larger numbers
		if r >= '0' && r <= '9' {
			return '9'
		}
		return r
	}, at)
	for _, position := range []string{ahead, "-1", "seven", "0x10", at + "x", " "} {
		if position != " " {
			c.send("GET", "/projects", "", "X-Min-Position", position).named(t, "X-Min-Position")
		}
	}
	c.send("POST", "/projects", `{"name":"Q"}`, "X-Min-Position", "seven").want(t, 200, "") // it is for reads
}

// Whoever changes a version that is not the last one is told so.
func TestIfMatch(t *testing.T) {
	t.Parallel()
	root := admin(t)
	for name, test := range map[string]struct {
		path         func(*client) string
		read         func(*client, string) answer
		first, again string
	}{
		"project": {func(c *client) string { return "/projects/" + c.project() }, read, `{"name":"A"}`, `{"name":"B"}`},
		"session": {func(c *client) string { return "/sessions/" + c.session(c.project()) }, read, `{"title":"A"}`, `{"title":"B"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := root.on(t)
			path := test.path(c)
			old := test.read(c, path).header.Get("ETag")
			if !strings.HasPrefix(old, `"`) {
				t.Fatalf("the ETag is %q", old)
			}
			changed := c.send("PATCH", path, test.first, "If-Match", old).want(t, 200, "").header.Get("ETag")
			if now := test.read(c, path).header.Get("ETag"); now != changed || now == old {
				t.Errorf("the ETag was %s; the change says %s, the read %s", old, changed, now)
			}
			c.send("PATCH", path, test.again, "If-Match", old).want(t, 412, "precondition_failed")
			c.send("PATCH", path, test.again, "If-Match", "W/"+changed).want(t, 412, "precondition_failed")
			c.send("PATCH", path, test.again, "If-Match", "*").want(t, 200, "")
			c.send("PATCH", path, test.again).want(t, 200, "") // nothing differs
		})
	}
	t.Run("user", func(t *testing.T) {
		t.Parallel()
		c := root.on(t)
		p := c.person("viewer")
		etag := p.send("GET", "/me", "").header.Get("ETag")
		c.send("PATCH", "/admin/users/"+p.id, `{"name":"A"}`, "If-Match", etag).want(t, 200, "")
		c.send("PATCH", "/admin/users/"+p.id, `{"name":"B"}`, "If-Match", etag).want(t, 412, "precondition_failed")
	})
	t.Run("what happens below an item does not change its version", func(t *testing.T) {
		t.Parallel()
		c := root.on(t)
		project := c.project()
		before := read(c, "/projects/"+project).header.Get("ETag")
		session := c.session(project)
		if after := read(c, "/projects/"+project).header.Get("ETag"); after != before {
			t.Errorf("a session changed the project from %s to %s", before, after)
		}
		before = read(c, "/sessions/"+session).header.Get("ETag")
		c.message(session)
		if after := read(c, "/sessions/"+session).header.Get("ETag"); after != before {
			t.Errorf("a message changed the session from %s to %s", before, after)
		}
	})
	t.Run("of many who change the same version one wins", func(t *testing.T) {
		t.Parallel()
		c := root.on(t)
		path := "/projects/" + c.project()
		etag := read(c, path).header.Get("ETag")
		statuses := make([]int, 8)
		var wg sync.WaitGroup
		for i := range statuses {
			wg.Go(func() {
				statuses[i] = c.send("PATCH", path, fmt.Sprintf(`{"name":"N%d"}`, i), "If-Match", etag).status
			})
		}
		wg.Wait()
		slices.Sort(statuses)
		if want := []int{200, 412, 412, 412, 412, 412, 412, 412}; !slices.Equal(statuses, want) {
			t.Errorf("answered %v", statuses)
		}
	})
}

func read(c *client, path string) answer { return c.must("GET", path, "", nil, nil) }

type identified struct{ ID string }

// pages reads a list page by page and calls between after each.
func pages(c *client, path string, limit int, between func()) []string {
	c.server.t.Helper()
	var ids []string
	for cursor := ""; ; {
		var page struct {
			Items      []identified
			NextCursor *string `json:"next_cursor"`
		}
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		c.must("GET", path+separator+"limit="+strconv.Itoa(limit)+cursor, "", nil, &page)
		for _, item := range page.Items {
			ids = append(ids, item.ID)
		}
		if page.NextCursor == nil {
			return ids
		}
		if len(page.Items) == 0 {
			c.server.t.Fatalf("%s: an empty page with a next one", path)
		}
		cursor = "&cursor=" + *page.NextCursor
		between()
	}
}

// Pages do not shift when something is written between them: everything that was
// there before the first page is there once, in order.
func TestPagesAreStable(t *testing.T) {
	t.Parallel()
	root := admin(t)
	project := root.project()
	session := root.session(project)
	for name, list := range map[string]struct {
		path string
		add  func(c *client) string
	}{
		"messages": {"/sessions/" + session + "/messages", func(c *client) string { return c.message(session) }},
		"sessions": {"/projects/" + project + "/sessions", func(c *client) string { return c.session(project) }},
		"users":    {"/admin/users?q=U", func(c *client) string { return c.user() }},
		"projects": {"/projects", func(c *client) string { return c.project() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := root.on(t)
			var before []string
			for range 23 {
				before = append(before, list.add(c))
			}
			writing, written := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(written)
				for {
					select {
					case <-writing:
						return
					default:
						list.add(c)
					}
				}
			}()
			rounds := 0
			got := pages(c, list.path, 1+rand.IntN(5)+50*b2i(name == "projects" || name == "users"), func() {
				if rounds++; rounds == 8 {
					close(writing)
					<-written
				}
			})
			if rounds < 8 {
				close(writing)
				<-written
			}
			seen := map[string]int{}
			for _, id := range got {
				if seen[id]++; seen[id] > 1 {
					t.Errorf("%s is there twice", id)
				}
			}
			known := slices.DeleteFunc(slices.Clone(got), func(id string) bool { return !slices.Contains(before, id) })
			if !slices.Equal(known, before) {
				t.Errorf("got %v\nwant %v", known, before)
			}
		})
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestFilters(t *testing.T) {
	t.Parallel()
	c := admin(t)
	mark := "mark" + strings.ReplaceAll(c.address, ".", "-")
	made := func(path string, body map[string]any) string {
		var got map[string]identified
		c.must("POST", path, "", body, &got)
		for _, v := range got {
			return v.ID
		}
		return ""
	}
	a := made("/projects", map[string]any{"name": "Alpha " + mark, "status": "Active", "environment": "Prod"})
	b := made("/projects", map[string]any{"name": "100%_" + mark, "status": "archived"})
	sa := made("/projects/"+a+"/sessions", map[string]any{"title": "Fix the Build", "provider_id": "custom", "model_id": "m"})
	sb := made("/projects/"+a+"/sessions", map[string]any{"title": "Write docs", "provider_id": "custom", "model_id": "m", "status": "done"})
	c.message(sa)
	p := c.person("viewer")
	for _, test := range []struct {
		query string
		want  []string
	}{
		{"/projects?q=" + mark, []string{a, b}},
		{"/projects?q=%20ALPHA%20" + mark, []string{a}},
		{"/projects?q=alpha%20" + mark + "&status=active&environment=PROD", []string{a}},
		{"/projects?q=" + mark + "&status=ARCHIVED&environment=dev", []string{b}},
		{"/projects?q=" + mark + "&status=&environment=", []string{a, b}},
		{"/projects?q=%25_" + mark, []string{b}}, // no wildcards
		{"/projects?q=" + mark + "&status=other", nil},
		{"/projects/" + a + "/sessions?q=the%20build", []string{sa}},
		{"/projects/" + a + "/sessions?status=DONE", []string{sb}},
		{"/projects/" + a + "/sessions", []string{sa, sb}},
		{"/projects/" + b + "/sessions", nil},
		{"/admin/users?q=" + strings.ToUpper(p.email), []string{p.id}},
		{"/admin/users?disabled=1&q=" + p.email, nil},
		{"/sessions/" + sb + "/messages", nil},
		{"/sessions/" + sa + "/messages?after_ts=2999-01-01T00:00:00Z", nil},
		{"/sessions/" + sa + "/messages?before_ts=2000-01-01T00:00:00%2B02:00", nil},
		{"/audit?type=project.created&actor=nobody", nil},
		{"/audit?type=PROJECT.CREATED&project_id=" + a, nil}, // exact
		{"/projects?cursor=9007199254740991", nil},
		{"/projects?q=" + mark + "&cursor=-5", []string{a, b}},
		{"/projects?q=" + mark + "&q=other", []string{a, b}}, // the first counts
	} {
		var got []string
		for _, item := range all[identified](c, test.query) {
			got = append(got, item.ID)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.query, got, test.want)
		}
	}
	// The same instant is on neither side.
	var messages struct{ Items []struct{ TS string } }
	c.must("GET", "/sessions/"+sa+"/messages", "", nil, &messages)
	for _, side := range []string{"after_ts", "before_ts"} {
		if got := all[identified](c, "/sessions/"+sa+"/messages?"+side+"="+messages.Items[0].TS); len(got) != 0 {
			t.Errorf("%s is inclusive", side)
		}
	}
	c.must("PATCH", "/admin/users/"+p.id, "", map[string]any{"disabled": true}, nil)
	for query, n := range map[string]int{"disabled=true": 1, "disabled=1": 1, "disabled=false": 0, "": 0} {
		if got := all[identified](c, "/admin/users?q="+p.email+"&"+query); len(got) != n && query != "" {
			t.Errorf("%s: %v", query, got)
		}
	}
}

// Below a deleted project there is nothing, and the audit keeps it all.
func TestDeletedProject(t *testing.T) {
	t.Parallel()
	c := admin(t)
	project := c.project()
	session := c.session(project)
	run := c.run(session)
	c.must("DELETE", "/projects/"+project, "", nil, nil)
	for path, code := range map[string]string{
		"/projects/" + project:               "project_not_found",
		"/projects/" + project + "/sessions": "project_not_found",
		"/sessions/" + session:               "session_not_found",
		"/sessions/" + session + "/messages": "session_not_found",
		"/runs/" + run:                       "run_not_found",
		"/runs/" + run + "/events":           "run_not_found",
		"/stream/sessions/" + session:        "session_not_found",
	} {
		c.send("GET", path, "").want(t, http.StatusNotFound, code)
	}
	c.send("DELETE", "/projects/"+project, "").want(t, 404, "project_not_found")
	c.send("PATCH", "/projects/"+project, `{"name":"X"}`).want(t, 404, "project_not_found")
	c.send("PATCH", "/sessions/"+session, `{"title":"X"}`).want(t, 404, "session_not_found")
	c.send("POST", "/sessions/"+session+"/messages", `{"role":"user","content":[]}`).want(t, 404, "session_not_found")
	c.send("POST", "/sessions/"+session+"/runs", `{"mode":"chat","agent":{},"input":{}}`).want(t, 404, "session_not_found")
	var types []string
	for _, a := range all[audited](c, "/audit?project_id="+project) {
		types = append(types, a.Type)
	}
	for _, want := range []string{"project.created", "session.created", "message.posted", "run.requested", "project.deleted"} {
		if !slices.Contains(types, want) {
			t.Errorf("the audit has no %s in %v", want, types)
		}
	}
}
