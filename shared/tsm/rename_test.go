package tsm_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"

	"nightshard/shared/tsm"
)

func TestRenamedArchiveHoldsTheSameFiles(t *testing.T) {
	t.Parallel()
	contents, archive := sample(t)
	policies := []string{"autogen", "år ☃", "with.dot", strings.Repeat("long", 60)}
	for _, policy := range policies {
		for _, folder := range []string{"restored/%s/20", "restored/%s/20/../20", "restored/%[1]s/20/../../%[1]s/20"} {
			rename := tsm.RenameInto(fmt.Sprintf(folder, policy))
			renamed := read(t, tsm.NewReader(iotest.HalfReader(bytes.NewReader(archive)), tsm.Options{Rename: rename}))
			names, got := unpack(t, renamed)
			if len(names) != len(contents) {
				t.Fatalf("entries %q", names)
			}
			for name, want := range contents {
				if !bytes.Equal(got[name], want) {
					t.Errorf("%s of %s differs", name, policy)
				}
			}
			a, err := tsm.Verify(bytes.NewReader(renamed), tsm.Options{})
			if err != nil || a.RetentionPolicy != policy || a.Shard != 20 {
				t.Errorf("renamed archive: %+v, %v", a, err)
			}
			if got := renamed[len(renamed)-1024:]; !bytes.Equal(got, make([]byte, 1024)) {
				t.Error("no end marker")
			}
		}
	}
}

func read(t testing.TB, r io.Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRenameThereAndBackGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	_, archive := sample(t)
	there := read(t, tsm.NewReader(bytes.NewReader(archive), tsm.Options{Rename: tsm.RenameInto("x/y/30")}))
	detour := read(t, tsm.NewReader(bytes.NewReader(there), tsm.Options{Rename: tsm.RenameInto("x/y/30/../30")}))
	if names, _ := unpack(t, detour); names[0] != "x/y/30/../30/000000001-000000002.tombstone" {
		t.Errorf("names %q", names)
	}
	back := read(t, tsm.NewReader(bytes.NewReader(detour), tsm.Options{Rename: tsm.RenameInto("sensu_db/autogen/12")}))
	if !bytes.Equal(back, archive) {
		t.Error("the archive is not the same")
	}
}

func TestRenamedArchiveKeepsTheRulesOfIO(t *testing.T) {
	t.Parallel()
	_, archive := sample(t)
	if err := iotest.TestReader(tsm.NewReader(bytes.NewReader(archive), tsm.Options{Rename: keep}), archive); err != nil {
		t.Fatal(err)
	}
}

func TestRenameOfAnEmptyShardIsEmpty(t *testing.T) {
	t.Parallel()
	got := read(t, tsm.NewReader(bytes.NewReader(make([]byte, 10240)), tsm.Options{Rename: keep}))
	if !bytes.Equal(got, make([]byte, 1024)) {
		t.Errorf("%d bytes", len(got))
	}
}

func TestErrorOfRenameEndsTheReading(t *testing.T) {
	t.Parallel()
	_, archive := sample(t)
	wrong := errors.New("no such shard")
	r := tsm.NewReader(bytes.NewReader(archive), tsm.Options{Rename: func(string) (string, error) { return "", wrong }})
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, wrong) || r.Archive() != nil {
		t.Errorf("%v, %v", err, r.Archive())
	}
}

func TestGNUTarReadsWhatWeWrite(t *testing.T) {
	t.Parallel()
	gnu, err := exec.LookPath("tar")
	if err != nil {
		t.Skip("no tar here")
	}
	_, archive := sample(t)
	rename := tsm.RenameInto("db/" + strings.Repeat("p", 200) + "/7")
	cmd := exec.CommandContext(t.Context(), gnu, "-tf", "-")
	cmd.Stdin = tsm.NewReader(bytes.NewReader(archive), tsm.Options{Rename: rename})
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), strings.Repeat("p", 200)+"/7/00000000") != 3 {
		t.Fatalf("%s: %v", out, err)
	}
}

func TestPathsOfEntries(t *testing.T) {
	t.Parallel()
	good := map[string]tsm.Entry{
		"db/rp/1/1.tsm":                        {Database: "db", RetentionPolicy: "rp", Shard: 1, File: "1.tsm"},
		"db/rp/20/../20/1.tsm":                 {Database: "db", RetentionPolicy: "rp", Shard: 20, File: "1.tsm"},
		"db/a.b/20/../../a.b/20/1.tsm":         {Database: "db", RetentionPolicy: "a.b", Shard: 20, File: "1.tsm"},
		"a b/ü/184467440737095516/x.tombstone": {Database: "a b", RetentionPolicy: "ü", Shard: 184467440737095516, File: "x.tombstone"},
	}
	for name, want := range good {
		got, err := tsm.ParseEntry(name)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "/", "db/rp/1", "db/rp/1/.tsm", "db/rp/1/..", "db/rp/1/../../../x.tsm", "./db/rp/1/1.tsm", "db/rp/-1/1.tsm", "db/rp/1/1.tsm/", "db/rp/20/../../other/20/1.tsm", "//1/1.tsm"} {
		if e, err := tsm.ParseEntry(name); err == nil {
			t.Errorf("%q is read as %+v", name, e)
		}
	}
}
