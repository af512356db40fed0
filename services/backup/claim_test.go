package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/objstore"
	"nightshard/shared/objstore/memory"
)

// party is one of two backup services of one Swift account, at a day that it
// backs up step by step.
type party struct {
	*backup
	j     *job
	empty bool // its database has no shard
	at    int  // the next step
	err   error
	wrote bool // something of its backup, beyond its mark
}

func newParty(t *testing.T, store objstore.Account, database string, empty bool) *party {
	t.Helper()
	day, err := night.ParseDay("2016-06-01")
	if err != nil {
		t.Fatal(err)
	}
	b := &backup{cfg: &config{}, store: store, log: zerolog.Nop(), now: time.Now}
	b.cfg.Database = database
	return &party{backup: b, j: &job{id: database, day: day, log: zerolog.Nop()}, empty: empty}
}

// steps are those of handle that the other one can come between.
func (p *party) steps() []func(context.Context) error {
	name := night.ShardName{Database: p.cfg.Database, RetentionPolicy: "main", ID: 1}.Object(p.j.day)
	m := &night.Manifest{
		Schema: night.Schema, Day: p.j.day.String(), Database: p.cfg.Database, Request: p.j.id, Cutoff: p.now(),
		Meta: night.Stored{Object: night.MetaObject(p.j.day)},
	}
	if !p.empty {
		m.Shards = []night.Shard{{Stored: night.Stored{Object: name}, ID: 1, RetentionPolicy: "main"}}
	}
	look := func(ctx context.Context) error { _, err := p.inspect(ctx, p.j); return err }
	return []func(context.Context) error{
		look,
		func(ctx context.Context) error { return p.mark(ctx, p.j) },
		look,
		func(ctx context.Context) error {
			p.wrote = true
			if err := p.begin(ctx, p.j); err != nil || p.empty {
				return err
			}
			_, err := p.put(ctx, p.j, name, []byte("x"), "")
			return err
		},
		func(ctx context.Context) error { return p.putManifest(ctx, p.j, m, night.ManifestObject(p.j.day)) },
		func(ctx context.Context) error { return p.sweep(ctx, p.j) },
	}
}

// step does the next one, unless an earlier one failed.
func (p *party) step(ctx context.Context) {
	if steps := p.steps(); p.err == nil && p.at < len(steps) {
		p.err = steps[p.at](ctx)
		p.at++
	}
}

// again is the next attempt of what was not refused for good.
func (p *party) again(ctx context.Context) {
	if p.err != nil && !events.IsPermanent(p.err) {
		p.at, p.err = 0, nil
	}
	for range p.steps() {
		p.step(ctx)
	}
}

func TestOneOfTwoDatabasesGetsTheDayWheneverTheyBegin(t *testing.T) {
	t.Parallel()
	const steps = 6
	for order := range 1 << (2 * steps) {
		if bits(order) != steps {
			continue
		}
		store := memory.New()
		a, b := newParty(t, store, "a_db", order%3 == 0), newParty(t, store, "b_db", order%5 == 0)
		for i := range 2 * steps {
			next := a
			if order>>i&1 == 1 {
				next = b
			}
			next.step(t.Context())
		}
		a.again(t.Context())
		b.again(t.Context())
		if a.wrote == b.wrote {
			t.Fatalf("order %b: a_db wrote: %v (%v), b_db wrote: %v (%v)", order, a.wrote, a.err, b.wrote, b.err)
		}
		won, lost := a, b
		if b.wrote {
			won, lost = b, a
		}
		if won.err != nil || !events.IsPermanent(lost.err) || !strings.Contains(lost.err.Error(), `"a_db"`) && !strings.Contains(lost.err.Error(), `a_db.`) || !strings.Contains(lost.err.Error(), "b_db") {
			t.Fatalf("order %b: won: %v, lost: %v", order, won.err, lost.err)
		}
		if m, err := won.manifest(t.Context(), won.j, night.ManifestObject(won.j.day)); err != nil || m == nil || m.Database != won.cfg.Database {
			t.Fatalf("order %b: manifest %+v, %v", order, m, err)
		}
		if left := remains(t, store, won.j.day); left != 1+len(won.manifestShards(t)) {
			t.Fatalf("order %b: %d objects are left", order, left)
		}
	}
}

func (p *party) manifestShards(t *testing.T) []night.Shard {
	t.Helper()
	m, err := p.manifest(t.Context(), p.j, night.ManifestObject(p.j.day))
	if err != nil {
		t.Fatal(err)
	}
	return m.Shards
}

// remains counts the day's objects.
func remains(t *testing.T, store objstore.Account, day night.Day) (n int) {
	t.Helper()
	err := store.List(t.Context(), day.String(), "", func(objstore.Object) error { n++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func bits(n int) (ones int) {
	for ; n > 0; n >>= 1 {
		ones += n & 1
	}
	return ones
}

// A backup that was killed at work finds its own archives again, and the mark
// of another that came meanwhile and has not yet taken it away.
func TestABackupIsNotStoppedByOneThatCameLater(t *testing.T) {
	t.Parallel()
	for _, names := range [][2]string{{"a_db", "b_db"}, {"b_db", "a_db"}} {
		store := memory.New()
		first, late := newParty(t, store, names[0], false), newParty(t, store, names[1], false)
		for range 4 {
			first.step(t.Context())
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(late.mark(t.Context(), late.j))
		first.at = 0
		first.again(t.Context())
		must(first.err)
		late.again(t.Context())
		if want := fmt.Sprintf("holds the backup of database %q", names[0]); late.err == nil || !strings.Contains(late.err.Error(), want) {
			t.Errorf("the late one: %v, want %q", late.err, want)
		}
	}
}

func TestAFailedAttemptLeavesNoMark(t *testing.T) {
	t.Parallel()
	store := memory.New()
	p := newParty(t, store, "a_db", false)
	if err := p.mark(t.Context(), p.j); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	p.unclaim(ended, p.j)
	if n := remains(t, store, p.j.day); n != 1 {
		t.Errorf("the successor's mark: %d objects", n)
	}
	p.unclaim(t.Context(), p.j)
	if n := remains(t, store, p.j.day); n != 0 {
		t.Errorf("%d objects are left", n)
	}
}
