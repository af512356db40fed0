package retention

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"nightshard/shared/night"
	"nightshard/shared/objstore"
)

// maxRecord bounds a manifest or verdict, which is held whole. In bytes.
const maxRecord = 1 << 30

// segmentsSuffix makes the name of a day's container of segments.
const segmentsSuffix = "_segments"

// looked is a day as it stands in Swift.
type looked struct {
	night.StoredDay
	objects int
	bytes   int64
	// names are the objects, and request is the manifest's.
	names   []string
	request string
}

// listed is what one listing shows.
type listed struct {
	day      night.Day
	objects  map[string]night.Stored
	names    []string
	bytes    int64
	manifest bool
	drill    bool
	meta     bool
	shards   int
	ours     bool   // archives have a name that only Nightshard gives
	run      bool   // the mark of a run, or of a removal
	incoming int    // objects of a run besides the mark
	strange  string // an object that Nightshard does not know
}

// look lists a day and reads its manifest and its verdict. A missing container
// is objstore.ErrNotFound.
func (p *pruner) look(ctx context.Context, day night.Day) (looked, error) {
	l := &listed{day: day, objects: map[string]night.Stored{}}
	err := p.store.List(ctx, day.String(), "", func(o objstore.Object) error {
		l.add(o)
		return nil
	})
	if err != nil {
		return looked{}, fmt.Errorf("list container %s: %w", day, err)
	}
	out := looked{StoredDay: night.StoredDay{Day: day}, objects: len(l.names), bytes: l.bytes, names: l.names}
	if err := p.segments(ctx, l); err != nil {
		return looked{}, err
	}
	if err := p.judge(ctx, l, &out); err != nil {
		return looked{}, err
	}
	if l.strange != "" {
		out.Hold = fmt.Sprintf("it holds %q, which Nightshard does not know", l.strange)
	}
	return out, nil
}

// judge reads what the day's own records say.
func (p *pruner) judge(ctx context.Context, l *listed, out *looked) error {
	if err := p.marked(ctx, l, out); err != nil {
		return err
	}
	switch {
	case out.Hold != "" || out.Removing || len(l.names) == 0:
		return nil
	case l.manifest:
		return p.finished(ctx, l, out)
	}
	return p.unmarked(ctx, l, out)
}

func (l *listed) add(o objstore.Object) {
	l.objects[o.Name] = night.Stored{Object: o.Name, Bytes: o.Size, MD5: o.Listed}
	l.names = append(l.names, o.Name)
	l.bytes += o.Size
	switch {
	case o.Name == night.ManifestObject(l.day):
		l.manifest = true
	case o.Name == night.DrillObject(l.day):
		l.drill = true
	case o.Name == night.MetaObject(l.day):
		l.meta = true
	case o.Name == night.RunObject(l.day):
		l.run = true
	case strings.HasPrefix(o.Name, night.IncomingPrefix(l.day)):
		l.incoming++
	case isArchive(l.day, o.Name):
		l.shards++
		l.ours = l.ours || night.NewForm(o.Name)
	case !isDump(l.day, o.Name) && l.strange == "":
		l.strange = o.Name
	}
}

// archive matches what follows DAY/shards/ in the name of a shard's archive.
var archive = regexp.MustCompile(`^[^/]+\.[^/]+\.[0-9]{5,}_?\.00$`)

func isArchive(day night.Day, name string) bool {
	rest, ok := strings.CutPrefix(name, night.ShardPrefix(day))
	return ok && archive.MatchString(rest)
}

func isDump(day night.Day, name string) bool {
	_, ok := night.ParseDumpObject(day, name)
	return ok
}

// known says that Nightshard or the old scripts give such a name.
func (l *listed) known(name string) bool {
	return name == night.ManifestObject(l.day) || name == night.DrillObject(l.day) || name == night.MetaObject(l.day) ||
		isArchive(l.day, name) || isDump(l.day, name) || strings.HasPrefix(name, night.IncomingPrefix(l.day))
}

// segment matches the name of an object's segment, as we and the swift client
// give it.
var segment = regexp.MustCompile(`^(.+?)/(?:slo/)?[0-9]+(?:\.[0-9]+)?(?:/[0-9]+)+/[0-9]{8}$`)

// segments notes a segment that belongs to no object of ours. A day without
// segments has no such container.
func (p *pruner) segments(ctx context.Context, l *listed) error {
	err := p.store.List(ctx, l.day.String()+segmentsSuffix, "", func(o objstore.Object) error {
		m := segment.FindStringSubmatch(o.Name)
		if (m == nil || !l.known(m[1])) && l.strange == "" {
			l.strange = l.day.String() + segmentsSuffix + "/" + o.Name
		}
		return nil
	})
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		return fmt.Errorf("list segments of %s: %w", l.day, err)
	}
	return nil
}

// mark is the content of DAY/incoming/run.json while a day is removed. A run
// that backs the day up again writes its own over it.
type mark struct {
	Removing bool   `json:"removing"`
	ID       string `json:"id,omitempty"`
}

// marked reads whose mark the day has.
func (p *pruner) marked(ctx context.Context, l *listed, out *looked) error {
	if !l.run && l.incoming == 0 {
		return nil
	}
	m, err := p.readMark(ctx, l.day)
	switch {
	case err != nil:
		return err
	case !m.Removing:
		out.Hold = "a run of the day is under way or was cut off"
	default:
		out.Removing = !l.manifest // else it is whole, and judged anew
	}
	return nil
}

// readMark reads the mark; one that is not there, or not ours, is the zero
// mark.
func (p *pruner) readMark(ctx context.Context, day night.Day) (mark, error) {
	var m mark
	data, err := objstore.Read(ctx, p.store, day.String(), night.RunObject(day), maxRecord)
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		return m, err //nolint:wrapcheck // it names the object
	}
	if err != nil || json.NewDecoder(bytes.NewReader(data)).Decode(&m) != nil {
		return mark{}, nil //nolint:nilerr // what cannot be read is not our mark
	}
	return m, nil
}

// finished judges a day that has a manifest.
func (p *pruner) finished(ctx context.Context, l *listed, out *looked) error {
	data, err := objstore.Read(ctx, p.store, l.day.String(), night.ManifestObject(l.day), maxRecord)
	if err != nil && !errors.Is(err, objstore.ErrCorrupt) {
		return err //nolint:wrapcheck // it names the object
	}
	var m *night.Manifest
	if err == nil {
		m, err = night.ParseManifest(l.day, data)
	}
	if err != nil {
		out.Hold = fmt.Sprintf("its manifest cannot be trusted: see nightshard verify %s", l.day)
		return nil //nolint:nilerr // it is a state of the day
	}
	out.request = m.Request
	if p.Database != "" && m.Database != p.Database {
		out.Hold = fmt.Sprintf("it is of database %q", m.Database)
		return nil
	}
	if problems := night.CheckStored(l.day, m, l.objects); len(problems) > 0 {
		out.Hold = fmt.Sprintf("it is damaged: see nightshard verify %s", l.day)
		return nil
	}
	d, err := p.drill(ctx, l)
	if err != nil || d == nil {
		return err
	}
	out.Proved = len(night.CheckDrill(l.day, m, d)) == 0
	out.Failed = !d.Passed && d.Backup == m.Request
	return nil
}

// drill reads the verdict, nil if there is none that can be read.
func (p *pruner) drill(ctx context.Context, l *listed) (*night.Drill, error) {
	if !l.drill {
		return nil, nil //nolint:nilnil // no verdict is an answer
	}
	data, err := objstore.Read(ctx, p.store, l.day.String(), night.DrillObject(l.day), maxRecord)
	if errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrCorrupt) {
		return nil, nil //nolint:nilnil // as if there were none
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the object
	}
	d, err := night.ParseDrill(data)
	if err != nil {
		return nil, nil //nolint:nilnil,nilerr // a verdict that cannot be read proves nothing
	}
	return d, nil
}

// unmarked judges a day without a manifest and without a mark: an old script's,
// or one of ours that lost its manifest, or dumps alone.
func (p *pruner) unmarked(ctx context.Context, l *listed, out *looked) error {
	d, err := p.drill(ctx, l)
	if err != nil {
		return err
	}
	switch {
	case l.ours || d != nil && d.Backup != "":
		out.Hold = fmt.Sprintf("its manifest was lost: see nightshard verify %s", l.day)
	case l.shards == 0:
		out.Hold = "it holds no backup, but dumps or a verdict"
	case !p.Old:
		out.Hold = "an old script's: the rules are not for it"
	case !l.meta:
		out.Hold = "an old script's without a metastore: see nightshard verify " + l.day.String()
	default:
		out.Vouched = true
	}
	return nil
}
