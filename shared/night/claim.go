package night

import "strings"

// ClaimObject is the mark of a database whose backup of the day is under way.
// Each database has one of its own, so that two services that begin at the same
// moment both find the other's: a mark under one name would be overwritten.
func ClaimObject(day Day, database string) string {
	return claimPrefix(day) + database + ".json"
}

func claimPrefix(day Day) string { return IncomingPrefix(day) + "run/" }

// ClaimedBy gives the database of a mark; ok is false for any other object.
func ClaimedBy(day Day, object string) (database string, ok bool) {
	rest, ok := strings.CutPrefix(object, claimPrefix(day))
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, ".json")
}

// ArchiveOfAnother says that the object is the archive of a shard, in its place
// or staged, of another database. A database whose name goes on behind a dot of
// ours is not told apart by its archives: only its mark and its manifest show
// it.
func ArchiveOfAnother(day Day, database, object string) bool {
	for _, prefix := range []string{ShardPrefix(day), Staged(day, ShardPrefix(day))} {
		rest, ok := strings.CutPrefix(object, prefix)
		// DATABASE.RETENTION.00002.00
		if ok && strings.HasSuffix(rest, ".00") && strings.Count(rest, ".") >= 3 && !strings.HasPrefix(rest, database+".") {
			return true
		}
	}
	return false
}
