package night

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// maxObjectName is Swift's limit for an object name, in bytes (/info).
const maxObjectName = 1024

// ShardPrefix is what the names of a day's shard archives begin with.
func ShardPrefix(day Day) string { return day.String() + "/shards/" }

// DumpPrefix is what the names of a day's dumps begin with.
func DumpPrefix(day Day) string { return day.String() + "/influxdb/" }

// IncomingPrefix is where a second run of a finished day puts its objects until
// all of them are verified.
func IncomingPrefix(day Day) string { return day.String() + "/incoming/" }

// MetaObject is the name of the metastore's archive.
func MetaObject(day Day) string { return ShardPrefix(day) + "meta.00" }

// ManifestObject is the name of the day's manifest.
func ManifestObject(day Day) string { return day.String() + "/manifest.json" }

// DrillObject is the name of the verdict of the day's last restore.
func DrillObject(day Day) string { return day.String() + "/drill.json" }

// RunObject marks a day whose first run is under way or was cut off: its
// objects are Nightshard's and may be replaced. An old script's container has
// none.
func RunObject(day Day) string { return IncomingPrefix(day) + "run.json" }

// Staged is the name under which an object of the day waits while a second run
// is not yet verified: DAY/incoming/ and the rest of its final name.
func Staged(day Day, object string) string {
	return IncomingPrefix(day) + strings.TrimPrefix(object, day.String()+"/")
}

// Unstaged is the reverse of Staged.
func Unstaged(day Day, object string) string {
	return day.String() + "/" + strings.TrimPrefix(object, IncomingPrefix(day))
}

// ShardName says which shard an archive holds.
type ShardName struct {
	Database        string
	RetentionPolicy string
	ID              uint64
}

// Detour says that the plain name of the archive would mislead `influxd
// restore`. It names the folder strings.Trim(id, "0"), so an id that ends in 0
// lands in another shard's folder; and it refuses a file name with more than
// four parts, so a retention policy must not bring a dot of its own. Such an
// archive is stored under a name with `_` and with entry paths that lead to the
// right folder.
func (s ShardName) Detour() bool {
	return s.ID%10 == 0 || strings.Contains(s.RetentionPolicy, ".")
}

// policyPart is the retention policy as a part of the file name.
func (s ShardName) policyPart() string {
	if !strings.Contains(s.RetentionPolicy, ".") {
		return s.RetentionPolicy
	}
	return strings.NewReplacer("%", "%25", ".", "%2E").Replace(s.RetentionPolicy)
}

// Object is the name of the shard's archive in the day's container. Plain
// `influxd restore` takes the folder of the shard from it.
func (s ShardName) Object(day Day) string {
	mark := ""
	if s.Detour() {
		mark = "_"
	}
	return fmt.Sprintf("%s%s.%s.%05d%s.00", ShardPrefix(day), s.Database, s.policyPart(), s.ID, mark)
}

// EntryFolder is the folder of the entries inside the stored archive. `influxd
// restore` drops its first three parts and appends the rest to the folder that
// it took from the file's name. For an escaped name that folder is one which
// no server reads ("20_" is no shard id), so the rest leads from there to the
// right one.
func (s ShardName) EntryFolder() string {
	plain := fmt.Sprintf("%s/%s/%d", s.Database, s.RetentionPolicy, s.ID)
	switch {
	case !s.Detour():
		return plain
	case strings.Contains(s.RetentionPolicy, "."):
		return fmt.Sprintf("%s/../../%s/%d", plain, s.RetentionPolicy, s.ID)
	default:
		return fmt.Sprintf("%s/../%d", plain, s.ID)
	}
}

// ParseShardObject reads the name of a shard's archive, in the old scripts'
// plain form or in the escaped one. The metastore's name is no shard.
func ParseShardObject(day Day, database, object string) (ShardName, error) {
	bad := func(reason string) (ShardName, error) {
		return ShardName{}, fmt.Errorf("parse shard object %q: %s; want %s%s.RETENTION.00002.00",
			object, reason, ShardPrefix(day), database)
	}
	rest, ok := strings.CutPrefix(object, ShardPrefix(day)+database+".")
	if !ok {
		return bad("not a shard of database " + strconv.Quote(database))
	}
	rest, ok = strings.CutSuffix(rest, ".00")
	if !ok {
		return bad("it does not end in .00")
	}
	dot := strings.LastIndexByte(rest, '.')
	if dot < 1 {
		return bad("no retention policy")
	}
	policy, digits := rest[:dot], rest[dot+1:]
	digits, marked := strings.CutSuffix(digits, "_")
	id, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || len(digits) < 5 || id == 0 {
		return bad("the shard id is not a number of at least five digits")
	}
	if marked && strings.Contains(policy, "%2E") {
		policy = strings.NewReplacer("%25", "%", "%2E", ".").Replace(policy)
	}
	return ShardName{Database: database, RetentionPolicy: policy, ID: id}, nil
}

// OldForm says that the object's archive is one that plain `influxd restore`
// puts into another shard's folder: an id that ends in 0 under the plain name.
func OldForm(object string) bool {
	rest, ok := strings.CutSuffix(object, ".00")
	return ok && strings.HasSuffix(rest, "0") && !strings.HasSuffix(rest, "/meta")
}

// NewForm says that the object's archive has a name that only Nightshard gives:
// the one that leads plain `influxd restore` right.
func NewForm(object string) bool { return strings.HasSuffix(object, "_.00") }

// DumpObject is the name of a measurement's dump as JSON. In the measurement's
// part `/`, `%`, control characters and a leading dot are percent-encoded; all
// else stays. A name over Swift's 1,024 bytes is an error.
func DumpObject(day Day, measurement string) (string, error) {
	return DumpObjectIn(day, measurement, JSON)
}

// ParseDumpObject gives the measurement of a dump's name, in whatever format it
// is; ok is false for a name that is no dump of the day.
func ParseDumpObject(day Day, object string) (measurement string, ok bool) {
	format, ok := DumpFormat(day, object)
	if !ok {
		return "", false
	}
	rest := strings.TrimSuffix(strings.TrimPrefix(object, DumpPrefix(day)), dumpWindow(day)+string(format))
	measurement, err := url.PathUnescape(rest)
	if err != nil {
		// The old scripts did not encode: a bare % stands for itself.
		return rest, true
	}
	return measurement, true
}

func escapeMeasurement(name string) string {
	var b strings.Builder
	for i, r := range name {
		if r == '/' || r == '%' || unicode.IsControl(r) || (i == 0 && r == '.') {
			for _, c := range []byte(string(r)) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
