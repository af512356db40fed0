package e2e_test

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"nightshard/shared/testbed"
)

// fleet is a cluster of three machines. Each has a NATS server and a replica of
// each service, which is told of its own machine's server alone and learns of
// the others from it.
type fleet struct {
	*cluster
	replicas map[string][]*proc    // by service, one for each machine
	settings map[string][][]string // the same way

	mu     sync.Mutex
	worker map[string]int // the replica that made the last request
}

// newFleet starts one replica of each service, on the first machine.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{cluster: newCluster(t), replicas: map[string][]*proc{}, settings: map[string][][]string{}, worker: map[string]int{}}
	for name, p := range f.procs {
		must(t, p.stop(syscall.SIGTERM))
		for i := range f.servers.Servers {
			f.settings[name] = append(f.settings[name], f.wire(name, i))
		}
	}
	f.grow(t)
	return f
}

// wire gives a replica proxies of its own, and the settings that lead to them.
func (f *fleet) wire(name string, i int) []string {
	through := func(side, target string) string {
		p := testbed.NewHTTPProxy(f.t, strings.TrimPrefix(target, "http://"))
		p.OnRequest(func(r testbed.HTTPRequest) testbed.HTTPFault {
			f.mu.Lock()
			f.worker[name] = i
			f.mu.Unlock()
			return f.meet(request{side: name + " to " + side, kind: f.kind(r)})
		})
		return "http://" + p.Addr
	}
	server, setting := f.inter, "NIGHTSHARD_INTERMEDIARY_URL"
	if name == "backup" {
		server, setting = f.prod, "NIGHTSHARD_PRODUCTION_URL"
	}
	return []string{
		"ST_AUTH=" + through("Swift", strings.TrimSuffix(f.swift["ST_AUTH"], "/auth/v1.0")) + "/auth/v1.0",
		setting + "=" + through("InfluxDB", server.URL), "NATS_URL=" + f.servers.Servers[i].URL,
	}
}

// grow starts a replica of each service on the next machine.
func (f *fleet) grow(t *testing.T) {
	t.Helper()
	for name := range f.procs {
		i := len(f.replicas[name])
		f.replicas[name] = append(f.replicas[name], nil)
		f.revive(name, i)
	}
	for name, replicas := range f.replicas {
		replicas[len(replicas)-1].ready()
		f.procs[name] = replicas[0]
	}
}

// revive starts a replica.
func (f *fleet) revive(name string, i int) {
	f.replicas[name][i] = f.startIn(f.whole, name, f.settings[name][i]...)
}

// working is the replica of a service that has the work.
func (f *fleet) working(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.worker[name]
}

func TestNightIsDoneOnceByReplicasOnThreeServers(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	for _, n := range []string{"two", "three"} {
		f.grow(t)
		t.Run(n, func(t *testing.T) {
			f.reportTo(t)
			f.once(t, n+" replicas of each service, each at another NATS server")
			f.replicaKilled(t, n)
		})
	}
	t.Run("machine", f.machineLost)
}

// once runs a night and sees that each step was done by one replica only.
func (f *fleet) once(t *testing.T, fault string) {
	t.Helper()
	f.trial(t, nil)
	for side, kind := range map[string]string{
		"backup to Swift": "PUT manifest", "restore to InfluxDB": "DROP DATABASE", "dumper to Swift": "PUT dump",
	} {
		if n := f.times(side, kind); n != 1 {
			t.Errorf("%s: %s was done %d times", side, kind, n)
		}
	}
	f.ended(t, 1)
	tried(t, "Cluster", fault, "the whole night", endedRight)
}

// replicaKilled kills the replica at work; another one has to finish.
func (f *fleet) replicaKilled(t *testing.T, n string) {
	t.Helper()
	for _, m := range choose(t, working(), 1, moment.String) {
		killed := -1
		f.at(t, m, fmt.Sprintf("the working one of %s replicas killed, each at another NATS server", n), func() {
			killed = f.working(m.service)
			_ = f.replicas[m.service][killed].stop(syscall.SIGKILL)
		})
		f.revive(m.service, killed)
		f.replicas[m.service][killed].ready()
	}
}

// machineLost kills all that the machine of the working replica has.
func (f *fleet) machineLost(t *testing.T) {
	f.reportTo(t)
	for _, m := range choose(t, working(), 1, moment.String) {
		f.servers.AwaitCopies(clusterStream)
		lost := -1
		f.at(t, m, "the machine of the working replica lost: its NATS server and a replica of each service, of three", func() {
			lost = f.working(m.service)
			f.kill(lost)
			for _, replicas := range f.replicas {
				_ = replicas[lost].stop(syscall.SIGKILL)
			}
		})
		f.back()
		for name, replicas := range f.replicas {
			f.revive(name, lost)
			replicas[lost].ready()
		}
	}
}

// at runs a night in which do is called at a moment, and notes it.
func (f *fleet) at(t *testing.T, m moment, fault string, do func()) {
	t.Helper()
	t.Logf("day %s: %s %s", dayName(f.next), fault, m.name)
	defer f.back()
	f.nightWith(t, m, do)
	f.ended(t, 1)
	tried(t, "Cluster", fault, m.name, endedRight)
}
