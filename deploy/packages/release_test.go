package packages_test

import (
	"archive/tar"
	"compress/gzip"
	"debug/elf"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// whole is off by default: a release is built for both processors, and its tools
// with it, which takes minutes.
var whole = flag.Bool("release", false, "build a release and run it under systemd; needs git, rpm, systemd and root")

// tag is that of the release: a candidate, whose name the two kinds of packages
// have to spell so that it is older than the release.
const tag = "v1.2.3-rc.1"

func TestRelease(t *testing.T) {
	if !*whole {
		t.Skip("not run: it takes minutes and is asked for with -args -release")
	}
	for _, tool := range []string{"git", "rpm", "dpkg-deb", "unshare", "nsenter"} {
		need(t, tool)
	}
	source := clone(t)
	out := filepath.Join(t.TempDir(), "dist")
	t.Logf("%s", command(t, source, filepath.Join(source, "deploy/packages/build"), out))
	r := release{out}
	t.Run("files", r.files)
	t.Run("archives", r.archives)
	t.Run("deb", r.deb)
	t.Run("rpm", r.rpm)
	t.Run("licences", r.licences)
	t.Run("systemd", r.systemd)
}

// need ends the test where a tool is missing.
func need(t *testing.T, tool string) {
	t.Helper()
	_, err := exec.LookPath(tool)
	switch {
	case err != nil && os.Getenv("TESTBED_REQUIRED") == "1":
		t.Fatalf("%s is not available, and TESTBED_REQUIRED=1: %v", tool, err)
	case err != nil:
		t.Skipf("not run: %s is not available: %v", tool, err)
	}
}

// command runs a program that has to succeed and returns its output.
func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out)
}

// clone makes a repository of the files as they are, with a tag.
func clone(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	command(t, root, "bash", "-c", `tar --exclude=./.git --exclude=./dist --exclude=./bin -cf - . | tar -C "$0" -xf -`, dir)
	git := func(args ...string) {
		command(t, dir, "git", append([]string{"-c", "user.name=test", "-c", "user.email=test@example.org"}, args...)...)
	}
	git("init", "--quiet")
	git("add", "--all")
	git("commit", "--quiet", "--message=all")
	git("tag", tag)
	return dir
}

// release is a folder with all that a release consists of.
type release struct{ dir string }

func (r release) path(name string) string { return filepath.Join(r.dir, name) }

func (r release) files(t *testing.T) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	want := []string{
		"SHA256SUMS", "backup.cdx.json", "dumper.cdx.json",
		"nightshard-1.2.3~rc.1-1.aarch64.rpm", "nightshard-1.2.3~rc.1-1.x86_64.rpm", "nightshard.cdx.json",
		"nightshard_1.2.3-rc.1_linux_amd64.tar.gz", "nightshard_1.2.3-rc.1_linux_arm64.tar.gz",
		"nightshard_1.2.3~rc.1_amd64.deb", "nightshard_1.2.3~rc.1_arm64.deb", "restore.cdx.json",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if sums := command(t, r.dir, "sha256sum", "--check", "--strict", "SHA256SUMS"); strings.Count(sums, ": OK") != len(want)-1 {
		t.Errorf("checksums:\n%s", sums)
	}
}

// archives have programs of the right processor in them, and what belongs to
// them.
func (r release) archives(t *testing.T) {
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		name := "nightshard_1.2.3-rc.1_linux_" + arch
		dir := t.TempDir()
		unpack(t, r.path(name+".tar.gz"), dir)
		for _, program := range []string{"backup", "restore", "dumper", "nightshard"} {
			f, err := elf.Open(filepath.Join(dir, name, program))
			if err != nil {
				t.Fatal(err)
			}
			if f.Machine != machine || f.Section(".interp") != nil {
				t.Errorf("%s of %s is for %s, or is not static", program, name, f.Machine)
			}
			_ = f.Close()
		}
		for _, file := range []string{
			"systemd/nightshard-backup.service", "systemd/backup.env", "completion/nightshard.bash",
			"doc/LICENSE", "doc/upgrade.md", "doc/third-party/go/LICENSE", "doc/sbom/backup.cdx.json",
		} {
			if info, err := os.Stat(filepath.Join(dir, name, file)); err != nil || info.Size() == 0 {
				t.Errorf("%s in %s: %v", file, name, err)
			}
		}
	}
}

func unpack(t *testing.T, file, dir string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(z); ; {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(head.Name))
		if head.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o700)
		} else {
			var data []byte
			if data, err = io.ReadAll(archive); err == nil {
				err = os.WriteFile(path, data, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (r release) deb(t *testing.T) {
	file := r.path("nightshard_1.2.3~rc.1_amd64.deb")
	dir := t.TempDir()
	command(t, dir, "dpkg-deb", "--raw-extract", file, dir)
	want := "/etc/nightshard/backup.env\n/etc/nightshard/dumper.env\n/etc/nightshard/nightshard.env\n/etc/nightshard/restore.env\n"
	if got, err := os.ReadFile(filepath.Join(dir, "DEBIAN/conffiles")); err != nil || string(got) != want {
		t.Errorf("configuration files: %q, %v", got, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "etc/nightshard/secrets")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder of secrets: %v, %v", info, err)
	}
	// The candidate is older than the release.
	command(t, dir, "dpkg", "--compare-versions", "1.2.3~rc.1", "lt", "1.2.3")
}

func (r release) rpm(t *testing.T) {
	query := func(args ...string) string {
		return command(t, r.dir, "rpm", append([]string{"--query", "--package", r.path("nightshard-1.2.3~rc.1-1.aarch64.rpm")}, args...)...)
	}
	if got := query("--queryformat", "%{NAME} %{VERSION} %{ARCH} %{LICENSE}"); got != "nightshard 1.2.3~rc.1 aarch64 Apache-2.0" {
		t.Errorf("package: %s", got)
	}
	files := query("--list")
	for _, want := range []string{
		"/usr/bin/nightshard\n", "/usr/lib/nightshard/backup\n", "/usr/lib/systemd/system/nightshard-dumper.service\n",
		"/etc/nightshard/secrets\n", "/usr/share/doc/nightshard/LICENSE\n",
	} {
		if !strings.Contains(files, want) {
			t.Errorf("%q is missing in\n%s", want, files)
		}
	}
	if got := query("--configfiles"); strings.Count(got, ".env\n") != 4 {
		t.Errorf("configuration files: %s", got)
	}
	if got := query("--scripts"); !strings.Contains(got, "daemon-reload") || strings.Contains(got, "systemctl enable") {
		t.Errorf("scripts: %s", got)
	}
}

// grants are what the licences say that may be linked into an Apache-2.0 program
// without a further thought: Apache-2.0, MIT, BSD, ISC, Unlicense.
func grants() []string {
	return []string{
		"Apache License Version 2.0",
		"Permission is hereby granted, free of charge, to any person obtaining a copy",
		"Redistribution and use in source and binary forms, with or without modification, are permitted",
		"Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted",
		"This is free and unencumbered software released into the public domain",
	}
}

// reservations are in licences that a person has to judge first.
func reservations() []string {
	return []string{
		"general public license", "mozilla public license", "eclipse public license", "common development and distribution",
		"commons clause", "business source license", "server side public license", "polyform",
	}
}

// licences of all modules that are linked in are with the programs, and such
// that they may be linked in.
func (r release) licences(t *testing.T) {
	dir := t.TempDir()
	command(t, dir, "dpkg-deb", "--extract", r.path("nightshard_1.2.3~rc.1_amd64.deb"), dir)
	for _, program := range []string{"backup", "restore", "dumper", "nightshard"} {
		bill := readBill(t, r.path(program+".cdx.json"))
		if bill.Metadata.Component.Version != tag || len(bill.Components) < 10 {
			t.Errorf("%s: version %q, %d components", program, bill.Metadata.Component.Version, len(bill.Components))
		}
		for _, c := range bill.Components {
			if !maybeLinked(t, filepath.Join(dir, "usr/share/doc/nightshard/third-party", c.Name)) {
				t.Errorf("%s is linked into %s: its licence is missing, or a person has to judge it", c.Name, program)
			}
		}
	}
}

// maybeLinked reads the texts of a module's licence: at least one has to be
// there, with a grant that we know, and none may have a reservation.
func maybeLinked(t *testing.T, dir string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	granted := false
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || info.IsDir() {
			continue // another module below this one's path
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(strings.Fields(string(data)), " ")
		has := func(phrase string) bool { return strings.Contains(strings.ToLower(text), strings.ToLower(phrase)) }
		if slices.ContainsFunc(reservations(), has) {
			return false
		}
		granted = granted || slices.ContainsFunc(grants(), has)
	}
	return granted
}

// bill is a bill of materials in CycloneDX's JSON.
type bill struct {
	Metadata   struct{ Component component }
	Components []component
}

type component struct{ Name, Version string }

func readBill(t *testing.T, file string) bill {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var b bill
	if err := json.Unmarshal(data, &b); err != nil {
		t.Fatal(err)
	}
	return b
}
