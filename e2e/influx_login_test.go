package e2e_test

import (
	"maps"
	"net/url"
	"strings"
	"testing"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/events"
	"nightshard/shared/testbed"
)

// wrongPassword is one that no server knows.
const wrongPassword = "Wr0ng&pass word'%"

// logins are the settings with which the services log in.
func (h *house) logins() {
	maps.Copy(h.env, map[string]string{
		"NIGHTSHARD_PRODUCTION_USER": h.prod.User, "NIGHTSHARD_PRODUCTION_PASSWORD": h.prod.Password,
		"NIGHTSHARD_INTERMEDIARY_USER": h.inter.User, "NIGHTSHARD_INTERMEDIARY_PASSWORD": h.inter.Password,
	})
}

func TestANightWithLoginsTellsNoPassword(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{{testbed.Influx18, testbed.Influx16}, {testbed.Influx16, testbed.Influx18}} {
		t.Run(c[0]+" to "+c[1], func(t *testing.T) {
			t.Parallel()
			h := build(t, testbed.InfluxOptions{Version: c[0], Auth: true}, testbed.InfluxOptions{Version: c[1], Auth: true})
			h.fillWeek(1)
			h.logins()
			procs := map[string]*proc{}
			for _, c := range []struct{ service, setting, asks, failed string }{
				{"backup", "NIGHTSHARD_PRODUCTION", events.BackupRequested, events.BackupFailed},
				{"restore", "NIGHTSHARD_INTERMEDIARY", events.BackupCompleted, events.RestoreFailed},
				{"dumper", "NIGHTSHARD_INTERMEDIARY", events.RestoreCompleted, events.DumpFailed},
			} {
				h.refusedLogin(c.service, c.setting, c.failed)
				procs[c.service] = h.start(c.service)
				h.redo(c.service)
			}
			h.readers(procs)
			h.silent(procs)
		})
	}
}

// redo asks for what the step does, now that its password is right.
func (h *house) redo(service string) {
	h.t.Helper()
	switch service {
	case "backup":
		seq := h.publish(events.BackupRequested, &pb.BackupRequested{Day: dayName(0)})
		awaitOn[*pb.BackupCompleted](h, seq, events.BackupCompleted, events.BackupFailed)
	case "restore":
		seq := h.publish(events.RestoreRequested, &pb.RestoreRequested{Day: dayName(0)})
		awaitOn[*pb.RestoreCompleted](h, seq, events.RestoreCompleted, events.RestoreFailed)
	default:
		seq := h.publish(events.DumpRequested, &pb.DumpRequested{Measurement: "cpu", From: dayName(0)})
		d, _ := awaitOn[*pb.DumpCompleted](h, seq, events.DumpCompleted, events.DumpFailed)
		h.sameDump(d)
	}
}

// readers tries users who may only read. Production's must be an administrator,
// for SHOW SHARDS. A dumper's can do with reading, but each restore takes the
// right away with the database that it drops: then the dump says so.
func (h *house) readers(procs map[string]*proc) {
	h.t.Helper()
	for _, s := range []*testbed.InfluxServer{h.prod, h.inter} {
		s.Query(h.t, "", `CREATE USER reader WITH PASSWORD 'only'; GRANT READ ON "sensu_db" TO reader`)
	}
	h.inter.Query(h.t, "", `GRANT READ ON "_nightshard" TO reader`)
	reader := func(service, setting string) {
		if err := procs[service].stop(15); err != nil {
			h.t.Error(err)
		}
		h.noSecret("log of "+service, procs[service].logged())
		procs[service] = h.start(service, setting+"_USER=reader", setting+"_PASSWORD=only")
	}
	reader("dumper", "NIGHTSHARD_INTERMEDIARY")
	h.redo("dumper")
	reader("backup", "NIGHTSHARD_PRODUCTION")
	seq := h.publish(events.BackupRequested, &pb.BackupRequested{Day: dayName(1)})
	f, _ := awaitOn[*pb.BackupFailed](h, seq, events.BackupFailed, events.BackupCompleted)
	if f.GetAttempts() != 1 || !strings.Contains(f.GetError(), "too few rights") {
		h.t.Errorf("backup by a user who may not list shards: %v", f)
	}
	h.redo("restore")
	e := h.await("dump.failed", seq, func(e events.Event) bool { return e.Subject == events.DumpFailed })
	if d, ok := e.Message.(*pb.DumpFailed); !ok || d.GetAttempts() != 1 || !strings.Contains(d.GetError(), "too few rights") {
		h.t.Errorf("dump by a user whose right is gone: %s", e.Data)
	}
	tried(h.t, "InfluxDB", "user with too few rights", "backup to InfluxDB", saidFailed)
	tried(h.t, "InfluxDB", "user with too few rights", "dumper to InfluxDB", saidFailed)
}

// refusedLogin starts a service with a wrong password. What the step before it
// said must fail at once and name the setting.
func (h *house) refusedLogin(service, setting, failed string) {
	h.t.Helper()
	p := h.start(service, setting+"_PASSWORD="+wrongPassword)
	if service == "backup" {
		h.publish(events.BackupRequested, &pb.BackupRequested{Day: dayName(0)})
	}
	e := h.await(failed, 0, func(e events.Event) bool { return e.Subject == failed })
	f, ok := e.Message.(interface {
		GetError() string
		GetAttempts() int32
		GetFinal() bool
	})
	if !ok || !f.GetFinal() || f.GetAttempts() != 1 || !strings.Contains(f.GetError(), setting+"_PASSWORD") {
		h.t.Errorf("%s with a wrong password: %s", service, e.Data)
	}
	if err := p.stop(15); err != nil {
		h.t.Error(err)
	}
	h.noSecret(service, p.logged())
	tried(h.t, "InfluxDB", "wrong password", service+" to InfluxDB", saidFailed)
}

// silent searches everything that the night has written for its passwords.
func (h *house) silent(procs map[string]*proc) {
	h.t.Helper()
	for name, p := range procs {
		h.noSecret("log of "+name, p.logged())
	}
	h.noSecret("events", h.story())
	day := dayName(0)
	for _, name := range []string{"/manifest.json", "/drill.json"} {
		h.noSecret(name, string(h.read(day, day+name)))
	}
}

// noSecret looks for the passwords, as they are and as a URL or JSON has them.
func (h *house) noSecret(where, text string) {
	h.t.Helper()
	for _, secret := range []string{h.prod.Password, h.inter.Password, wrongPassword} {
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), strings.ReplaceAll(secret, "&", `\u0026`)} {
			if strings.Contains(text, form) {
				h.t.Errorf("%s holds a password:\n%s", where, text)
			}
		}
	}
}
