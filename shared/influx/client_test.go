package influx_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshard/shared/influx"
	"nightshard/shared/testbed"
)

// stream collects an answer's rows as column=value.
func stream(ctx context.Context, c *influx.Client, database, statement string) ([]string, error) {
	var rows []string
	err := c.Stream(ctx, database, statement, func(columns []string, values [][]byte) error {
		var row []string
		for i, v := range values {
			if v != nil {
				row = append(row, fmt.Sprintf("%s=%s", columns[i], v))
			}
		}
		rows = append(rows, strings.Join(row, " "))
		return nil
	})
	return rows, err
}

// oddNames are names that a careless client damages.
func oddNames() []string {
	return []string{
		`quo"te`, `back\slash`, "sp ace", "sl/ash", "ünï😀", "'single'", `semi;DROP DATABASE x`, "com,ma=eq", "a.b", "$1%41+&", "/.*/", "*", "time x", "count_x", "::field", "select", "1",
	}
}

// escape writes a name for line protocol.
func escape(name string) string {
	return strings.NewReplacer(",", `\,`, "=", `\=`, " ", `\ `).Replace(name)
}

func TestOddNamesWorkInEveryStatement(t *testing.T) {
	t.Parallel()
	for _, version := range []string{testbed.Influx18, testbed.Influx16} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, testbed.InfluxOptions{Version: version})
			for _, name := range oddNames() {
				s.oddName(t, name)
			}
			// No name can hold a newline, but a request for one has to be a
			// statement still.
			if counts, err := s.http.CountMeasurement(t.Context(), "db", "rp", "new\nline", start(), start().Add(time.Hour)); err != nil || len(counts) > 0 {
				t.Errorf("newline: %v, %v", counts, err)
			}
		})
	}
}

// oddName uses a name for everything that has one.
func (s *server) oddName(t *testing.T, name string) {
	t.Helper()
	db, rp := "db "+name, "rp "+name
	if strings.ContainsAny(name, `/.\`) {
		db, rp = "db", "rp" // folders are called so: the server refuses some
		s.exec(t, "", "DROP DATABASE db")
	}
	s.create(t, db)
	s.exec(t, db, fmt.Sprintf("CREATE RETENTION POLICY %s ON %s DURATION 0s REPLICATION 1", influx.QuoteIdent(rp), influx.QuoteIdent(db)))
	measurement := name
	// Measurement names need no escape for =, but take it as part of the name.
	line := strings.ReplaceAll(escape(measurement), `\=`, `=`)
	s.write(t, db, rp, fmt.Sprintf("%s,%s=v %s=9007199254740993i %d\n", line, escape("t"+measurement), escape("f"+measurement), start().UnixNano()))
	ctx, to := t.Context(), start().Add(time.Hour)

	counts, err := s.http.Count(ctx, db, rp, start(), to)
	want := map[influx.FieldKey]int64{{Measurement: measurement, Field: "f" + measurement}: 1}
	if err != nil || !maps.Equal(counts, want) {
		t.Errorf("count %q: %v, %v", name, counts, err)
	}
	one, err := s.http.CountMeasurement(ctx, db, rp, measurement, start(), to)
	if err != nil || one["f"+measurement] != 1 || len(one) != 1 {
		t.Errorf("count measurement %q: %v, %v", name, one, err)
	}
	fields, err := s.http.FieldKeys(ctx, db, rp, measurement)
	if err != nil || !slices.Equal(fields, []influx.FieldType{{Name: "f" + measurement, Type: "integer"}}) {
		t.Errorf("fields %q: %v, %v", name, fields, err)
	}
	tags, err := s.http.TagKeys(ctx, db, rp, measurement)
	if err != nil || !slices.Equal(tags, []string{"t" + measurement}) {
		t.Errorf("tags %q: %v, %v", name, tags, err)
	}
	rows, err := stream(ctx, s.http, db, fmt.Sprintf("SELECT * FROM %s.%s.%s WHERE %s = %s", influx.QuoteIdent(db), influx.QuoteIdent(rp),
		influx.QuoteIdent(measurement), influx.QuoteIdent("t"+measurement), influx.QuoteString("v")))
	if err != nil || len(rows) != 1 || !strings.Contains(rows[0], "=9007199254740993") {
		t.Errorf("stream %q: %v, %v", name, rows, err)
	}
	names, err := s.http.Measurements(ctx, db)
	if err != nil || !slices.Equal(names, []string{measurement}) {
		t.Errorf("measurements %q: %q, %v", name, names, err)
	}
	databases, err := s.http.Databases(ctx)
	policies, errRP := s.http.RetentionPolicies(ctx, db)
	if err := errors.Join(err, errRP); err != nil || !slices.Contains(databases, db) || len(policies) != 2 || policies[1].Name != rp {
		t.Errorf("%q: databases %q, policies %v, %v", name, databases, policies, err)
	}
	text, err := s.http.Query(ctx, db, fmt.Sprintf("SELECT count(%s) FROM %s.%s.%s WHERE x = %s", influx.QuoteIdent("f"), influx.QuoteIdent(db),
		influx.QuoteIdent(rp), influx.QuoteIdent("m"), influx.QuoteString(name)))
	if err != nil || len(text) != 0 {
		t.Errorf("text %q: %v, %v", name, text, err)
	}
}

// A plain count(*) finds a, d and e only: the others have another type than the
// same name elsewhere.
func TestValuesOfEveryTypeAreCounted(t *testing.T) {
	t.Parallel()
	for _, opts := range []testbed.InfluxOptions{{}, {Version: testbed.Influx16}, {Index: "tsi1"}} {
		t.Run(opts.Version+opts.Index, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, opts)
			s.create(t, "d")
			at, later := start().UnixNano(), start().AddDate(0, 0, 28).UnixNano()
			s.write(t, "d", "", fmt.Sprintf("a v=1.5 %[1]d\nb v=\"s\",w=1i %[1]d\nb v=\"t\" %[2]d\nc,v=tag x=true %[1]d\nd v=3i %[1]d\nf v=true %[1]d\ne v=1.5,w=\"x\" %[1]d\ng z=\"only\" %[1]d", at, at+1))
			s.write(t, "d", "", fmt.Sprintf("e v=\"x\" %d\ne v=\"y\",w=2i %d\n", later, later+1))
			counts, err := s.http.Count(t.Context(), "d", "autogen", start(), start().AddDate(1, 0, 0))
			want := map[influx.FieldKey]int64{
				{Measurement: "a", Field: "v"}: 1, {Measurement: "b", Field: "v"}: 2, {Measurement: "b", Field: "w"}: 1, {Measurement: "c", Field: "x"}: 1,
				{Measurement: "d", Field: "v"}: 1, {Measurement: "f", Field: "v"}: 1, {Measurement: "e", Field: "v"}: 3, {Measurement: "e", Field: "w"}: 2,
				{Measurement: "g", Field: "z"}: 1,
			}
			if err != nil || !maps.Equal(counts, want) {
				t.Errorf("%v, %v", counts, err)
			}
			one, err := s.http.CountMeasurement(t.Context(), "d", "autogen", "e", start(), start().AddDate(1, 0, 0))
			if err != nil || one["v"] != 3 || one["w"] != 2 {
				t.Errorf("%v, %v", one, err)
			}
			// The only values of the window have the other type.
			one, err = s.http.CountMeasurement(t.Context(), "d", "autogen", "e", start().Add(time.Hour), start().AddDate(1, 0, 0))
			if err != nil || one["v"] != 2 || one["w"] != 1 {
				t.Errorf("a window of one type: %v, %v", one, err)
			}
			if none, err := s.http.Count(t.Context(), "d", "autogen", start().AddDate(-3, 0, 0), start().AddDate(-2, 0, 0)); err != nil || len(none) != 0 {
				t.Errorf("an empty window: %v, %v", none, err)
			}
		})
	}
}

func TestSpansMissNoRow(t *testing.T) {
	t.Parallel()
	s := newServer(t, testbed.InfluxOptions{})
	s.create(t, "d")
	later := start().AddDate(0, 0, 28)
	s.write(t, "d", "", fmt.Sprintf("e v=1.5 %d\ne v=\"x\" %d\ne v=true %d\n", start().UnixNano(), later.UnixNano(), later.AddDate(0, 0, 28).UnixNano()))
	from, to := start().Add(-time.Hour), later.AddDate(0, 0, 40)
	spans, err := s.http.Spans(t.Context(), "d", "autogen", from, to)
	if err != nil || len(spans) < 3 || !spans[0].From.Equal(from) || !spans[len(spans)-1].To.Equal(to) {
		t.Fatalf("%v, %v", spans, err)
	}
	var all []string
	for i, span := range spans {
		if i > 0 && !span.From.Equal(spans[i-1].To) {
			t.Errorf("gap before %v", span)
		}
		rows, err := stream(t.Context(), s.http, "d", fmt.Sprintf("SELECT * FROM e WHERE time >= %d AND time < %d", span.From.UnixNano(), span.To.UnixNano()))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rows...)
	}
	if len(all) != 3 {
		t.Errorf("rows %q", all)
	}
	if one, err := s.http.Spans(t.Context(), "d", "autogen", start(), start().Add(time.Nanosecond)); err != nil || len(one) != 1 {
		t.Errorf("inside of one shard: %v, %v", one, err)
	}
	if none, err := s.http.Spans(t.Context(), "d", "autogen", start(), start()); err != nil || len(none) != 0 {
		t.Errorf("an empty window: %v, %v", none, err)
	}
}

func TestIntegersKeepAllTheirDigits(t *testing.T) {
	t.Parallel()
	s := newServer(t, testbed.InfluxOptions{})
	s.create(t, "d")
	s.write(t, "d", "", fmt.Sprintf("m big=9223372036854775807i,low=-9223372036854775808i,odd=9007199254740993i,f=0.1,t=\"<&>\\\\\" %d", start().UnixNano()+1))
	rows, err := stream(t.Context(), s.http, "d", "SELECT * FROM m")
	want := `time="2024-06-01T00:00:00.000000001Z" big=9223372036854775807 f=0.1 low=-9223372036854775808 odd=9007199254740993`
	if err != nil || len(rows) != 1 || !strings.HasPrefix(rows[0], want) {
		t.Errorf("%q, %v", rows, err)
	}
	series, err := s.http.Query(t.Context(), "d", "SELECT odd FROM m")
	if err != nil || fmt.Sprint(series[0].Values[0][1]) != "9007199254740993" {
		t.Errorf("%v, %v", series, err)
	}
}

func TestADroppedPointIsAnError(t *testing.T) {
	t.Parallel()
	s := newServer(t, testbed.InfluxOptions{})
	s.create(t, "d")
	s.write(t, "d", "", fmt.Sprintf("m v=1 %d", start().UnixNano()))
	for _, lines := range []string{fmt.Sprintf("m v=\"text\" %d", start().UnixNano()), "m v="} {
		var said *influx.Error
		if err := s.http.WritePoints(t.Context(), "d", "", []byte(lines)); !errors.As(err, &said) {
			t.Errorf("%s: %v", lines, err)
		}
	}
}

func TestTheConnectionIsMadeAnewAfterARestart(t *testing.T) {
	t.Parallel()
	s := newServer(t, testbed.InfluxOptions{})
	for range 3 {
		s.Stop()
		s.Start()
		if _, err := s.http.Databases(t.Context()); err != nil {
			t.Errorf("query: %v", err)
		}
	}
}

func TestAUserWithoutRightsIsToldSo(t *testing.T) {
	t.Parallel()
	s := newServer(t, testbed.InfluxOptions{Auth: true})
	s.create(t, "d")
	s.exec(t, "", "CREATE USER weak WITH PASSWORD 'topsecret'")
	weak := client(t, influx.ClientConfig{URL: s.URL, User: "weak", Password: "topsecret"})
	for name, call := range map[string]func() error{
		"shards": func() error { _, err := weak.Shards(t.Context()); return err },
		"drop":   func() error { return weak.Exec(t.Context(), "", "DROP DATABASE d") },
		"stream": func() error { _, err := stream(t.Context(), weak, "d", "SELECT * FROM m"); return err },
		"write":  func() error { return weak.WritePoints(t.Context(), "d", "", []byte("m v=1")) },
	} {
		err := call()
		if !errors.Is(err, influx.ErrUnauthorized) || strings.Contains(err.Error(), "topsecret") || !strings.Contains(err.Error(), strings.TrimPrefix(s.URL, "http://")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("asked with %q", r.Header.Get("Authorization"))
	}))
	defer thief.Close()
	srv := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	defer srv.Close()
	c := client(t, influx.ClientConfig{URL: srv.URL, User: "u", Password: "p"})
	if _, err := c.Databases(t.Context()); err == nil || !strings.Contains(err.Error(), "307") {
		t.Errorf("%v", err)
	}
}

// answers serves one body for every query, ended in good order or not.
func answers(t *testing.T, body string) *influx.Client {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
	t.Cleanup(srv.Close)
	return client(t, influx.ClientConfig{URL: srv.URL})
}

func TestASmallAnswerThatIsNotWholeIsAnError(t *testing.T) {
	t.Parallel()
	whole := `{"results":[{"statement_id":0,"series":[{"name":"x","columns":["a","b"],"values":[[1,2]]}]}]}`
	if series, err := answers(t, whole).Query(t.Context(), "", "q"); err != nil || len(series) != 1 {
		t.Errorf("%v, %v", series, err)
	}
	for _, body := range []string{
		"", "{}", whole[:40], strings.Replace(whole, "[1,2]", "[1]", 1), strings.Replace(whole, `"values"`, `"partial":true,"values"`, 1),
		`{"results":[{},{}]}`, `<html>`, `{"error":"x"}`,
	} {
		if _, err := answers(t, body).Query(t.Context(), "", "q"); err == nil {
			t.Errorf("%s passed", body)
		}
	}
}

func TestAListOfAnotherShapeIsAnError(t *testing.T) {
	t.Parallel()
	c := answers(t, `{"results":[{"series":[{"columns":["strange"],"values":[[7]]}]}]}`)
	for name, call := range map[string]func() error{
		"databases": func() error { _, err := c.Databases(t.Context()); return err },
		"shards":    func() error { _, err := c.Shards(t.Context()); return err },
		"policies":  func() error { _, err := c.RetentionPolicies(t.Context(), "d"); return err },
		"fields":    func() error { _, err := c.FieldKeys(t.Context(), "d", "rp", "m"); return err },
		"tags":      func() error { _, err := c.TagKeys(t.Context(), "d", "rp", "m"); return err },
	} {
		if call() == nil {
			t.Errorf("%s passed", name)
		}
	}
}

func TestTheCallersErrorComesBackAsItIs(t *testing.T) {
	t.Parallel()
	mine := errors.New("mine")
	c := answers(t, `{"results":[{"series":[{"columns":["a"],"values":[[7],[8]]}]}]}`)
	//nolint:errorlint // it must be the very error
	if err := c.Stream(t.Context(), "", "q", func([]string, [][]byte) error { return mine }); err != mine {
		t.Errorf("%v", err)
	}
}

func TestAStatementThatWorksLongInSilenceIsNoStall(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		// As InfluxDB does: the head at once, the body when it is ready.
		w.(http.Flusher).Flush() //nolint:forcetypeassert // it is one
		<-time.After(300 * time.Millisecond)
		_, _ = io.WriteString(w, `{"results":[{"series":[{"columns":["a"],"values":[[7]]}]}]}`)
	}))
	defer srv.Close()
	c := client(t, influx.ClientConfig{URL: srv.URL, Timeout: 50 * time.Millisecond})
	if _, err := c.Query(t.Context(), "", "q"); err != nil {
		t.Errorf("query: %v", err)
	}
	if rows, err := stream(t.Context(), c, "", "q"); err != nil || len(rows) != 1 {
		t.Errorf("stream: %v, %v", rows, err)
	}
}
