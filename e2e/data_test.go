package e2e_test

import (
	"fmt"
	"strings"
	"time"
)

// weekday0 is the first day of the tests' data.
func weekday0() time.Time { return time.Date(2016, 5, 26, 0, 0, 0, 0, time.UTC) }

// fillWeek writes days of odd and ordinary data: cpu in the default policy with
// a shard each 12 hours, and mem in "two_weeks" with a shard each 8 hours, so
// that there are shards whose ids end in 0 in both.
func (h *house) fillWeek(days int) {
	h.t.Helper()
	h.prod.Query(h.t, "", `CREATE RETENTION POLICY "main" ON "sensu_db" DURATION INF REPLICATION 1 SHARD DURATION 12h DEFAULT`)
	h.prod.Query(h.t, "", `CREATE RETENTION POLICY "two_weeks" ON "sensu_db" DURATION INF REPLICATION 1 SHARD DURATION 8h`)
	for d := range days {
		begin := weekday0().AddDate(0, 0, d)
		var cpu, mem strings.Builder
		for at := begin; at.Before(begin.AddDate(0, 0, 1)); at = at.Add(10 * time.Minute) {
			for host := range 5 {
				fmt.Fprintf(&cpu, "cpu,host=web-%02d,region=eu idle=%d.5,user=%di,state=\"ok\",up=true %d\n", host, 90-host, at.Unix()%97, at.UnixNano())
				fmt.Fprintf(&mem, "mem,host=web-%02d used=%di %d\n", host, at.Unix()%1013, at.UnixNano())
			}
		}
		h.prod.Write(h.t, database, "main", cpu.String())
		h.prod.Write(h.t, database, "two_weeks", mem.String())
	}
}

// oddMeasurement has every character that a name can be troublesome with.
const oddMeasurement = `we/ird "name", 100% öä` + "\u0085"

// fillOdd writes records whose names and values are hard to carry over.
func (h *house) fillOdd(day time.Time) {
	h.t.Helper()
	name := strings.NewReplacer(",", `\,`, " ", `\ `).Replace(oddMeasurement)
	lines := []string{
		// Exactly at midnight, and a nanosecond before the next.
		fmt.Sprintf(`%s,ta\ g=a\,b\=c\ d big=9223372036854775807i,neg=-9007199254740993i %d`, name, day.UnixNano()),
		fmt.Sprintf(`%s fi\ el\=d="line\nbreak" %d`, name, day.AddDate(0, 0, 1).UnixNano()-1),
		// The neighbours, which do not belong to the day.
		fmt.Sprintf(`%s big=1i %d`, name, day.UnixNano()-1),
		fmt.Sprintf(`%s big=2i %d`, name, day.AddDate(0, 0, 1).UnixNano()),
		fmt.Sprintf("%s,ünï=¢ text=\"quotes \\\" and \\\\ and\ttab and\nreal newline and \x01 control\",f=1e-300 %d", name, day.Add(time.Hour).UnixNano()),
		fmt.Sprintf(`%s text="",yes=true,no=false %d`, name, day.Add(2*time.Hour).UnixNano()),
	}
	h.prod.Write(h.t, database, "main", strings.Join(lines, "\n"))
}

// dayName names the n-th day of the data.
func dayName(n int) string { return weekday0().AddDate(0, 0, n).Format("2006-01-02") }
