package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"nightshard/shared/influx"
)

// The most that two clocks may differ before it is said, and before it counts
// as a problem.
const (
	skewWorth = 5 * time.Second
	skewBad   = 5 * time.Minute
)

// influxServer is one of the two InfluxDBs, as far as it answers.
type influxServer struct {
	*doctor
	name     string // production or intermediary
	setting  string // what its settings begin with
	url      string
	snapshot string
	http     *influx.Client
	findings findings

	up      bool
	told    string            // its version
	meta    *influx.Metastore // nil if port 8088 does not give it
	portErr error             // why it does not
	listed  []influx.ShardInfo
	admin   bool // the login may list shards
}

// checkInflux asks both servers side by side and holds them against each other.
func (d *doctor) checkInflux(ctx context.Context) findings {
	prod := d.server("production", "NIGHTSHARD_PRODUCTION")
	inter := d.server("intermediary", "NIGHTSHARD_INTERMEDIARY")
	var wg sync.WaitGroup
	for _, s := range []*influxServer{prod, inter} {
		wg.Go(func() { s.look(ctx) })
	}
	wg.Wait()
	if prod.up && prod.admin {
		prod.needDatabase()
	}
	if inter.up && inter.admin {
		inter.owned(ctx)
	}
	if prod.http != nil && inter.http != nil {
		d.two(prod, inter)
		d.room(ctx, prod, inter)
	}
	return slices.Concat(prod.findings, inter.findings)
}

func (d *doctor) server(name, setting string) *influxServer {
	return &influxServer{
		doctor: d, name: name, setting: setting,
		url:      orElse(d.vars[setting+"_URL"], "http://127.0.0.1:8086"),
		snapshot: orElse(d.vars[setting+"_SNAPSHOT"], "127.0.0.1:8088"),
	}
}

// look asks one server by both of its ports.
func (s *influxServer) look(ctx context.Context) {
	if s.vars[s.setting+"_URL"] == "" && s.vars[s.setting+"_SNAPSHOT"] == "" {
		s.findings.unknown(fmt.Sprintf("where %s is: %s_URL and _SNAPSHOT are not set here", s.name, s.setting),
			"nothing can be said of it", "run the doctor with the settings of the services")
		return
	}
	client, err := influx.NewClient(influx.ClientConfig{
		URL: s.url, User: s.vars[s.setting+"_USER"], Password: s.vars[s.setting+"_PASSWORD"],
		Timeout: s.patience, TotalTimeout: doctorBound / 2,
	})
	if err != nil {
		return // the settings say it
	}
	s.http = client
	var wg sync.WaitGroup
	wg.Go(func() { s.readMetastore(ctx) })
	s.ping(ctx)
	if s.up {
		s.login(ctx)
	}
	wg.Wait()
	if s.up {
		s.version(s.told)
	}
	s.port()
}

func (s *influxServer) ping(ctx context.Context) {
	version, at, err := s.http.Ping(ctx)
	if err != nil {
		s.findings.problem(fmt.Sprintf("%s does not answer at %s: %v", s.name, s.url, err), s.need(),
			fmt.Sprintf("start it, or correct %s_URL; is a firewall between?", s.setting))
		return
	}
	s.up, s.told = true, version
	skew := at.Sub(s.now()).Abs()
	text := fmt.Sprintf("the clock of %s and that of this machine differ by %s", s.name, spanText(skew))
	const why = "the day and its cut-off are told by production's clock, the schedule by that of the backup service"
	switch {
	case skew >= skewBad:
		s.findings.problem(text, why, "have both keep time (NTP)")
	case skew >= skewWorth:
		s.findings.warning(text, why, "have both keep time (NTP)")
	default:
		s.findings.ok("the clock of %s is that of this machine, within %s", s.name, skewWorth)
	}
}

func (s *influxServer) version(version string) {
	switch {
	case strings.HasPrefix(version, "1."):
		s.findings.ok("%s is InfluxDB %s at %s", s.name, version, s.url)
	case (version == "" || version == "unknown") && s.meta != nil:
		s.findings.ok("%s is InfluxDB 1.x at %s: it does not tell its version, but has the snapshot port of 1.x", s.name, s.url)
	case version == "" || version == "unknown":
		s.findings.unknown(fmt.Sprintf("the version of %s at %s", s.name, s.url), "Nightshard is for InfluxDB 1.x", "it does not tell; ask influxd version on its machine")
	default:
		s.findings.problem(fmt.Sprintf("%s at %s is version %s", s.name, s.url, version), "Nightshard is for InfluxDB 1.x", fmt.Sprintf("correct %s_URL", s.setting))
	}
}

// need says what the night needs the server for.
func (s *influxServer) need() string {
	if s.name == "production" {
		return "without it there is no backup"
	}
	return "without it no backup is proved, and there are no dumps"
}

// login tries the user with what both services ask first.
func (s *influxServer) login(ctx context.Context) {
	listed, err := s.http.Shards(ctx)
	do := fmt.Sprintf("set %s_USER and %s_PASSWORD to those of an administrator", s.setting, s.setting)
	switch {
	case errors.Is(err, influx.ErrUnauthorized):
		s.findings.problem(fmt.Sprintf("%s refuses the login: %v", s.name, err), "the shards cannot be listed: "+s.need(), do)
	case err != nil:
		s.findings.problem(fmt.Sprintf("%s lists no shards: %v", s.name, err), s.need(), "look at its log")
	default:
		s.admin, s.listed = true, listed
		s.findings.ok("%s lists its shards to the user that is set", s.name)
	}
}

func (s *influxServer) readMetastore(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	snap := influx.NewSnapshot(influx.SnapshotConfig{Addr: s.snapshot, DialTimeout: s.patience, IdleTimeout: s.patience})
	raw, err := snap.Metastore(ctx)
	var meta *influx.Metastore
	if err == nil {
		meta, err = influx.ParseMetastore(raw)
	}
	s.meta, s.portErr = meta, err
}

// port says what came of the question to port 8088.
func (s *influxServer) port() {
	why := "the shards are streamed from it: " + s.need()
	if s.name != "production" {
		why = "the shards are streamed to it: " + s.need()
	}
	switch {
	case s.meta == nil:
		s.findings.problem(fmt.Sprintf("the snapshot port %s of %s gives no metastore: %v", s.snapshot, s.name, s.portErr), why,
			fmt.Sprintf("set bind-address in its influxdb.conf so that the service reaches it, and %s_SNAPSHOT to it", s.setting))
	case s.admin && !sameShards(s.meta, s.listed):
		s.findings.problem(fmt.Sprintf("%s and the snapshot port %s answer for different servers", s.url, s.snapshot), why,
			fmt.Sprintf("have %s_URL and %s_SNAPSHOT name one server", s.setting, s.setting))
	default:
		s.findings.ok("the snapshot port %s of %s gives the metastore", s.snapshot, s.name)
	}
}

// sameShards says that both ports know the same shards. One may be made between
// the two questions, so only a clear difference counts: none in common.
func sameShards(meta *influx.Metastore, listed []influx.ShardInfo) bool {
	known := map[string]bool{}
	for _, db := range meta.Databases {
		for _, s := range meta.Shards(db.Name) {
			known[fmt.Sprintf("%d %s %s %d", s.ID, s.Database, s.RetentionPolicy, s.Start.Unix())] = true
		}
	}
	if len(known) == 0 || len(listed) == 0 {
		return len(known) == len(listed)
	}
	return slices.ContainsFunc(listed, func(s influx.ShardInfo) bool {
		return known[fmt.Sprintf("%d %s %s %d", s.ID, s.Database, s.RetentionPolicy, s.Start.Unix())]
	})
}

// needDatabase looks for what is to be backed up.
func (s *influxServer) needDatabase() {
	name := s.common.Database
	if name == "" {
		return
	}
	shards := 0
	for _, i := range s.listed {
		if i.Database == name {
			shards++
		}
	}
	known := shards > 0
	if s.meta != nil {
		_, known = s.meta.Database(name)
	}
	if !known {
		s.findings.problem(fmt.Sprintf("production has no database %q", name), "there is nothing to back up", "correct NIGHTSHARD_DATABASE")
		return
	}
	s.findings.ok("production has database %q with %s", name, plural(shards, "shard"))
}

// two refuses an intermediary that is production.
func (d *doctor) two(prod, inter *influxServer) {
	const why = "every restore drops the intermediary's database: production would lose it. The restore refuses this"
	const do = "run a second InfluxDB for the restores and set NIGHTSHARD_INTERMEDIARY_URL and _SNAPSHOT to it"
	switch {
	case prod.meta != nil && inter.meta != nil && prod.meta.ClusterID == inter.meta.ClusterID:
		inter.findings.problem(fmt.Sprintf("the intermediary is production: both have cluster id %d", prod.meta.ClusterID), why, do)
	case sameHost(prod.url, inter.url):
		inter.findings.problem("the intermediary is production: both have the address "+inter.url, why, do)
	case prod.snapshot == inter.snapshot:
		inter.findings.problem("the intermediary is production: both have the snapshot port "+inter.snapshot, why, do)
	case prod.meta != nil && inter.meta != nil:
		inter.findings.ok("the intermediary is another server than production")
	default:
		inter.findings.unknown("whether the intermediary is another server than production", why, "both snapshot ports must answer for that")
	}
}

func sameHost(a, b string) bool {
	u, err := url.Parse(a)
	if err != nil {
		return false
	}
	v, err := url.Parse(b)
	return err == nil && u.Host == v.Host
}

// isHere says that a URL names this machine.
func isHere(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
