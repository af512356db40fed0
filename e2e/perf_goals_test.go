//go:build !race

package e2e_test

import "slices"

// goal is one thing that a run is to show.
type goal struct {
	what  string
	limit float64
	least bool // the limit is a lower one
	unit  string
	got   spread
}

// reached says whether the median keeps to the limit.
func (g goal) reached() bool {
	if g.least {
		return g.got.mid >= g.limit
	}
	return g.got.mid <= g.limit
}

// oldWhole are the steps of an old night, with the dump asked for in one way.
func oldWhole(query string) []string {
	return []string{
		oldBackup, oldUpload, oldList, oldDownload, oldEmpty, oldRestore, oldStart, query, oldConvert, oldSend,
	}
}

// Steps that belong together.
func oldBackups() []string  { return []string{oldBackup, oldUpload, oldList} }
func oldRestores() []string { return []string{oldDownload, oldEmpty, oldRestore, oldStart} }
func oldDumps() []string    { return []string{oldQuery, oldConvert, oldSend} }
func oldPaged() []string    { return []string{oldPages, oldConvert, oldSend} }

// goals are the targets of the project, with what this run measured.
func (r *report) goals() []goal {
	s := r.sizes[0].rounds
	inverse := s.ratio(oldPaged(), []string{newDump})
	out := []goal{
		{what: "Whole night against the old way as it was, its dump in pages", limit: 0.12, got: s.ratio([]string{newNight}, oldWhole(oldPages))},
		{what: "Whole night against the old way, its dump as one chunked query", limit: 0.65, got: s.ratio([]string{newNight}, oldWhole(oldQuery))},
		{what: "Backup, fresh and verified, without the fingerprint's queries", limit: 0.7, got: s.ratio([]string{newUncounted}, oldBackups())},
		{what: "Backup with one changed shard in 16, against the old way's whole one", limit: 0.25, got: r.plan.carry.rows.ratio([]string{newCarried}, oldBackups())},
		{what: "Incremental restore of one changed shard in 121, against our full one", limit: 0.4, got: r.plan.incr.rows.ratio([]string{newIncremental}, []string{newFull})},
		{what: "Restore until the server answers, without the drill's queries", limit: 0.8, got: s.ratio([]string{newUndrilled}, oldRestores())},
		{what: "Dump, in Swift, against curl, conversion and upload", limit: 0.6, got: s.ratio([]string{newDump}, oldDumps())},
		{what: "Our query side, output discarded, against curl to a file", limit: 1.15, got: r.plan.dump.rows.ratio([]string{newQuerySide}, []string{plainCurl})},
		{what: "Dump, in Swift, against pages, conversion and upload: times faster", limit: 40, least: true, got: inverse},
	}
	return append(out, r.costs()...)
}

// costs are the targets for memory and for services that wait.
func (r *report) costs() []goal {
	var peaks, resident, cores []float64
	for _, s := range r.sizes {
		for _, p := range s.peaks {
			peaks = append(peaks, mib(p.bytes))
		}
	}
	if r.plan.dump.peak > 0 {
		peaks = append(peaks, mib(r.plan.dump.peak))
	}
	for _, m := range r.many {
		peaks = append(peaks, mib(m.peak))
	}
	for _, i := range r.idle {
		resident, cores = append(resident, mib(i.resident)), append(cores, 100*i.core)
	}
	return []goal{
		{what: "Peak resident memory of any service at any size", limit: 96, unit: " MiB", got: worst(peaks)},
		{what: "Resident memory of a waiting service", limit: 25, unit: " MiB", got: worst(resident)},
		{what: "A waiting service's share of a core", limit: 0.1, unit: " %", got: worst(cores)},
	}
}

// worst is the greatest of some values; a limit on memory is for each of them.
func worst(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	return spread{mid: slices.Max(values), low: slices.Min(values), high: slices.Max(values), n: len(values)}
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
