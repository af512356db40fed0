package e2e_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"nightshard/shared/testbed"
)

// oldVersion is the commit that stands for the version before: the first with
// all three services, the copies of unchanged shards and the checksums of
// records. What is written today must be read by it, and the reverse.
const oldVersion = "cfa5da2"

// upgrade is a house in which each service can be of either version.
type upgrade struct {
	*chain
	old map[string]string // the binaries of the old version
}

// newUpgrade runs a good night of the present version, and lets production be
// quiet from then on, so that each version copies what the other one stored.
func newUpgrade(t *testing.T) *upgrade {
	t.Helper()
	u := &upgrade{chain: &chain{}, old: map[string]string{}}
	for _, name := range names() {
		u.old[name] = testbed.CommandAt(t, oldVersion, "./services/"+name)
	}
	u.mill = newMill(t)
	u.age()
	u.house.env["NIGHTSHARD_FULL_EVERY"] = "100000"
	u.install(t)
	u.trial(t, nil)
	u.shards = u.stored(t, u.today()) // a restart changes the metastore
	return u
}

// names are the services.
func names() []string { return []string{"backup", "restore", "dumper"} }

// install starts each service anew, some of them in the old version.
func (u *upgrade) install(t *testing.T, old ...string) {
	t.Helper()
	for _, name := range names() {
		_ = u.procs[name].stop(syscall.SIGTERM) // it may have been killed
		u.procs[name] = u.version(name, slices.Contains(old, name), u.env[name]...)
	}
	for _, p := range u.procs {
		p.ready()
	}
}

// version starts a service of one of the versions.
func (u *upgrade) version(name string, old bool, extra ...string) *proc {
	if old {
		return u.startBinary(u.whole, name, u.old[name], extra...)
	}
	return u.startIn(u.whole, name, extra...)
}

// mixes are the services that are still of the old version.
func mixes() [][]string {
	return [][]string{
		{"backup"},
		{"restore"},
		{"dumper"},
		{"restore", "dumper"},
		{"backup", "dumper"},
		{"backup", "restore"},
		names(),
	}
}

func TestNightEndsRightWithTwoVersions(t *testing.T) {
	t.Parallel()
	u := newUpgrade(t)
	t.Run("mixed", u.mixed)
	t.Run("side by side", u.sideBySide)
}

// mixed runs nights in which some services are old.
func (u *upgrade) mixed(t *testing.T) {
	u.reportTo(t)
	name := func(mix []string) string { return strings.Join(mix, ", ") }
	for _, mix := range choose(t, mixes(), 4, name) {
		t.Logf("day %s: old are %v", dayName(u.next), mix)
		u.install(t, mix...)
		u.trial(t, nil)
		u.ended(t, 1)
		if m := u.manifest(u.today()); m.CarriedForward() == 0 {
			t.Errorf("no shard was copied from the day that the other version stored")
		}
		tried(t, "Cluster", "older version ("+oldVersion+") of: "+name(mix), "the whole night", endedRight)
	}
}

// sideBySide kills one version of a service at its work; the other one ends the
// night.
func (u *upgrade) sideBySide(t *testing.T) {
	u.reportTo(t)
	for _, old := range []bool{true, false} {
		for _, m := range choose(t, working(), 1, moment.String) {
			which := map[bool]string{true: "older version", false: "newer version"}
			fault := which[old] + " of " + m.service + " killed, the " + which[!old] + " takes over"
			t.Logf("day %s: %s %s", dayName(u.next), fault, m.name)
			if old {
				u.install(t, m.service)
			} else {
				u.install(t)
			}
			var other *proc
			u.nightWith(t, m, func() {
				// It comes only now: by chance it would have the work already.
				other = u.version(m.service, !old)
				_ = u.procs[m.service].stop(syscall.SIGKILL)
			})
			u.ended(t, 1)
			must(t, other.stop(syscall.SIGTERM))
			tried(t, "Cluster", fault, m.name, endedRight)
		}
	}
}
