package influx_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nightshard/shared/influx"
	"nightshard/shared/testbed"
)

func TestColumnsHaveTheTypesOfTheirShard(t *testing.T) {
	t.Parallel()
	for _, version := range []string{testbed.Influx18, testbed.Influx16} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, testbed.InfluxOptions{Version: version})
			s.create(t, "d")
			week := start().AddDate(0, 0, 7)
			s.write(t, "d", "", fmt.Sprintf("m,host=a,a\\,\\ \"b::c=x b=true,f=2,host=7,i=9007199254740993i,s=\"x\" %d\n"+
				"m,host=b odd::name=1,k\u00e9=2i,tab\there=3i,select=4 %d\n", start().UnixNano(), start().UnixNano()+1))
			s.write(t, "d", "", fmt.Sprintf("m,host=a b=1i,i=2.5 %d\n", week.UnixNano()))
			first := influx.Span{From: start(), To: start().Add(time.Hour)}
			got := columns(t, s, first)
			want := `time time,a, "b::c tag,b boolean,f float,host float,host_1 tag,i integer,k` + "\u00e9" + ` integer,odd::name float,s string,select float,tab` + "\there integer"
			if got != want {
				t.Errorf("columns\n%s, want\n%s", got, want)
			}
			if got := columns(t, s, influx.Span{From: week, To: week.Add(time.Hour)}); !strings.Contains(got, ",b integer,") || !strings.Contains(got, ",i float") {
				t.Errorf("a week later: %s", got)
			}
			if got := columns(t, s, influx.Span{From: start().Add(time.Hour), To: start().Add(2 * time.Hour)}); got != "" {
				t.Errorf("columns of no row: %s", got)
			}
		})
	}
}

// columns are those of measurement m, as one text.
func columns(t *testing.T, s *server, span influx.Span) string {
	t.Helper()
	all, err := s.http.Columns(t.Context(), "d", "autogen", "m", span)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range all {
		out = append(out, c.Name+" "+c.Type)
	}
	return strings.Join(out, ",")
}
