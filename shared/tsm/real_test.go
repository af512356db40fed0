package tsm_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshard/shared/testbed"
	"nightshard/shared/tsm"
)

// realServer is a running influxd.
type realServer struct {
	url      string
	snapshot string
}

func startServer(t *testing.T, version, index string) realServer {
	t.Helper()
	s := testbed.Influx(t, testbed.InfluxOptions{Version: version, Index: index})
	return realServer{url: s.URL, snapshot: s.Snapshot}
}

// TestRealShards writes, deletes and restores with real servers: what they
// stream is whole, its counts are theirs, and an archive without the deleted
// values answers on a second server as the first one does.
func TestRealShards(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.8.10", "1.6.7"} {
		for _, index := range []string{"inmem", "tsi1"} {
			t.Run(version+" "+index, func(t *testing.T) {
				t.Parallel()
				from, to := startServer(t, version, index), startServer(t, "1.8.10", index)
				archive := from.fill(t)
				checkReal(t, from, archive)
				to.restore(t, archive)
				for _, q := range []string{"SELECT * FROM /.*/", "SHOW SERIES", "SHOW FIELD KEYS", "SELECT count(*) FROM /.*/"} {
					want, got := from.rows(t, q), to.rows(t, q)
					if !slices.Equal(want, got) || len(want) == 0 {
						t.Errorf("%s: %d rows, want %d: %s", q, len(got), len(want), firstDifference(got, want))
					}
				}
			})
		}
	}
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("%s\nwant %s", got[i], want[i])
		}
	}
	return "one is shorter"
}

// fill writes a shard in several files with deletes between, and streams it
// while its tombstones are there.
func (s realServer) fill(t *testing.T) []byte {
	t.Helper()
	s.exec(t, "", "CREATE DATABASE db")
	var archive []byte
	for generation := range 4 {
		s.write(t, generation)
		s.stream(t) // flushes the cache to a file
		from := start + int64(100+generation*50)*second
		s.exec(t, "db", fmt.Sprintf("DELETE FROM cpu WHERE host = 'a' AND time >= %d AND time <= %d", from, from+333*second))
		s.exec(t, "db", fmt.Sprintf(`DELETE FROM "odd, na=me" WHERE time = %d`, start+70*second))
		s.exec(t, "db", fmt.Sprintf("DELETE FROM gone%d", generation))
		s.exec(t, "db", fmt.Sprintf("DELETE FROM plain WHERE time >= %d AND time < %d", start+int64(generation*2000+10)*second, start+int64(generation*2000+20)*second))
		archive = s.stream(t)
	}
	return archive
}

// write sends all kinds of values. Generations overlap, so that deleted times
// come back.
func (s realServer) write(t *testing.T, generation int) {
	t.Helper()
	var b strings.Builder
	for i := range 1500 {
		at := start + int64(generation*300+i)*second
		for _, host := range []string{"a", "b"} {
			fmt.Fprintf(&b, "cpu,host=%s f=%g,i=%di,s=\"%s\",b=%v,big=%di %d\n", host,
				float64(i)/7, i%9-4, strings.Repeat("x", i%40), i%3 == 0, int64(1)<<62-int64(i), at+int64(i*i%1000))
		}
		fmt.Fprintf(&b, "odd\\,\\ na=me,t\\ ag=v\\,al\\=ue fi\\ e\\,l\\=d=%d %d\n", i, at)
		fmt.Fprintf(&b, "plain,h=%d v=%d %d\n", i%3, i, start+int64(generation*2000+i)*second)
		if i < 20 {
			fmt.Fprintf(&b, "gone%d,h=%d v=1 %d\n", generation, i, at)
		}
	}
	s.post(t, "/write?db=db", b.String())
}

func checkReal(t *testing.T, from realServer, archive []byte) {
	t.Helper()
	a, err := tsm.Verify(bytes.NewReader(archive), tsm.Options{Count: true})
	if err != nil {
		t.Fatal(err)
	}
	applied, err := tsm.Verify(bytes.NewReader(archive), tsm.Options{Count: true, Tombstones: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files, %d of them tombstones, %d fields, %d inexact", len(a.Files), len(a.Files)-len(a.Sent), len(a.Counts), len(a.Inexact))
	for k, want := range from.counts(t) {
		got, exact := applied.Counts[k], !applied.Inexact[k]
		if k.Measurement == "plain" && !exact {
			t.Errorf("%v: not exact without an overlap", k)
		}
		if got < want || exact && got != want || a.Counts[k] < got {
			t.Errorf("%v: counted %d (exact: %v), before the deletes at most %d, the server says %d", k, got, exact, a.Counts[k], want)
		}
	}
}

// counts asks the server, by measurement and field.
func (s realServer) counts(t *testing.T) map[tsm.FieldKey]int64 {
	t.Helper()
	counts := map[tsm.FieldKey]int64{}
	for _, series := range s.query(t, "SELECT count(*) FROM /.*/") {
		for i, column := range series.Columns[1:] {
			if n, ok := series.Values[0][i+1].(json.Number); ok {
				counts[tsm.FieldKey{Measurement: series.Name, Field: strings.TrimPrefix(column, "count_")}], _ = n.Int64()
			}
		}
	}
	return counts
}

// restore makes an empty shard for the archive's time and uploads it there.
func (s realServer) restore(t *testing.T, archive []byte) {
	t.Helper()
	s.exec(t, "", "CREATE DATABASE db")
	s.post(t, "/write?db=db", fmt.Sprintf("seed v=1 %d", start))
	s.exec(t, "db", "DROP MEASUREMENT seed")
	reader := tsm.NewReader(bytes.NewReader(archive), tsm.Options{Tombstones: true, Rename: tsm.RenameInto(fmt.Sprintf("db/autogen/%d", s.shard(t)))})
	c := s.dial(t)
	defer c.Close()
	request := binary.BigEndian.AppendUint64([]byte{3, 7}, s.shard(t))
	if _, err := c.Write(request); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(c, reader); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Fatal(err)
	}
	s.compareStored(t, reader.Archive())
}

// compareStored streams the shard back: it holds what was sent.
func (s realServer) compareStored(t *testing.T, sent *tsm.Archive) {
	t.Helper()
	stored, err := tsm.Verify(bytes.NewReader(s.stream(t)), tsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(stored.Files) != fmt.Sprint(sent.Sent) {
		t.Logf("compacted already: sent %v, stored %v", sent.Sent, stored.Files)
	}
}

// stream reads the archive of the only shard. A server that was just written
// to may answer nothing for a while, so an empty answer is asked again.
func (s realServer) stream(t *testing.T) []byte {
	t.Helper()
	id := s.shard(t)
	for {
		c := s.dial(t)
		if _, err := fmt.Fprintf(c, "\x03\x00{\"Type\":0,\"ShardID\":%d}\n", id); err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(c)
		c.Close()
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 1024 {
			return b
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the server streams nothing")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s realServer) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	c, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s realServer) connect() (*net.TCPConn, error) {
	c, err := net.DialTimeout("tcp", s.snapshot, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), c.SetDeadline(time.Now().Add(time.Minute))
}

// shard is the id of the only shard.
func (s realServer) shard(t *testing.T) uint64 {
	t.Helper()
	for _, series := range s.query(t, "SHOW SHARDS") {
		if series.Name == "db" && len(series.Values) == 1 {
			id, _ := series.Values[0][0].(json.Number).Int64()
			return uint64(id)
		}
	}
	t.Fatal("not one shard")
	return 0
}

// resultSeries is a table of an answer.
type resultSeries struct {
	Name    string
	Columns []string
	Values  [][]any
}

func (s realServer) query(t *testing.T, q string) []resultSeries {
	t.Helper()
	var answer struct {
		Results []struct {
			Series []resultSeries
			Error  string
		}
	}
	d := json.NewDecoder(bytes.NewReader(s.post(t, "/query?db=db&epoch=ns&q="+url.QueryEscape(q), "")))
	d.UseNumber()
	if err := d.Decode(&answer); err != nil || answer.Results[0].Error != "" {
		t.Fatalf("%s: %v %s", q, err, answer.Results[0].Error)
	}
	return answer.Results[0].Series
}

// rows are the lines of an answer, sorted.
func (s realServer) rows(t *testing.T, q string) (lines []string) {
	t.Helper()
	for _, series := range s.query(t, q) {
		for _, row := range series.Values {
			lines = append(lines, fmt.Sprint(series.Name, series.Columns, row))
		}
	}
	slices.Sort(lines)
	return lines
}

func (s realServer) exec(t *testing.T, database, q string) {
	t.Helper()
	b := s.post(t, "/query?db="+database+"&q="+url.QueryEscape(q), "")
	if bytes.Contains(b, []byte(`"error"`)) {
		t.Fatalf("%s: %s", q, b)
	}
}

func (s realServer) post(t *testing.T, path, body string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		t.Fatalf("%s: %s %s %v", path, resp.Status, b, err)
	}
	return b
}
