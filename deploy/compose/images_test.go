package compose_test

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// programs are the images, and the three services come first.
var programs = []string{"backup", "restore", "dumper", "nightshard"}

// mostBytes is what the three services' images may have together.
const mostBytes = 60_000_000

func TestImagesForBothProcessors(t *testing.T) {
	needEngine(t)
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		t.Run(arch, func(t *testing.T) {
			images := buildImages(t, arch)
			var size int64
			for n, program := range programs {
				if bytes := checkImage(t, images[n], program, arch); program != "nightshard" {
					size += bytes
				}
				checkContents(t, images[n], program, machine)
			}
			if arch == runtime.GOARCH {
				checkTimeZones(t, images[0])
			}
			if size > mostBytes {
				t.Errorf("the three services' images have %d bytes together, want at most %d", size, mostBytes)
			}
			t.Logf("%s: the three services' images have %.1f MB together", arch, float64(size)/1e6)
		})
	}
}

// checkTimeZones has a service name a wrong time zone: there are none of the
// system's to look in.
func checkTimeZones(t *testing.T, image string) {
	t.Helper()
	for zone, complains := range map[string]bool{"Europe/Berlin": false, "Europe/Nowhere": true} {
		// The database is not set, so it complains and ends in both cases.
		out, err := docker(t.Context(), nil, "run", "--rm", "--env", "NIGHTSHARD_TIMEZONE="+zone, image)
		if err == nil || !strings.Contains(err.Error(), "NIGHTSHARD_DATABASE") {
			t.Fatalf("without a database: %s %v", out, err)
		}
		if strings.Contains(err.Error(), "NIGHTSHARD_TIMEZONE") != complains {
			t.Errorf("with time zone %s: %v", zone, err)
		}
	}
}

// buildImages builds for a processor, under names of their own, in the order of
// programs.
func buildImages(t *testing.T, arch string) []string {
	t.Helper()
	name := newName()
	services := map[string]any{}
	images := make([]string, 0, len(programs))
	for _, program := range programs {
		image := name + "-" + program
		services[program] = map[string]string{"image": image, "platform": "linux/" + arch}
		images = append(images, image)
	}
	text, err := json.Marshal(map[string]any{"services": services})
	if err != nil {
		t.Fatal(err)
	}
	override := filepath.Join(t.TempDir(), "images.yaml")
	if err := os.WriteFile(override, text, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = docker(context.WithoutCancel(t.Context()), nil, append([]string{"image", "rm", "--force"}, images...)...)
	})
	build := []string{"compose", "--project-name", name, "--file", "compose.yaml", "--file", override, "--profile", "tools", "build"}
	if _, err := docker(t.Context(), []string{"IMAGE_VERSION=1.2.3", "IMAGE_REVISION=abc"}, append(build, programs...)...); err != nil {
		t.Fatal(err)
	}
	return images
}

// checkImage reads what the engine says of an image, and returns its bytes.
func checkImage(t *testing.T, image, program, arch string) int64 {
	t.Helper()
	out, err := docker(t.Context(), nil, "image", "inspect", image)
	if err != nil {
		t.Fatal(err)
	}
	var found []struct {
		Architecture string
		Size         int64
		Config       struct {
			User        string
			Labels      map[string]string
			Healthcheck *struct{ Test []string }
		}
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil || len(found) != 1 {
		t.Fatalf("inspect %s: %d images: %v", image, len(found), err)
	}
	i := found[0]
	if i.Architecture != arch || i.Config.User != "65532:65532" {
		t.Errorf("%s: for %s, user %q", program, i.Architecture, i.Config.User)
	}
	if (i.Config.Healthcheck == nil) != (program == "nightshard") {
		t.Errorf("%s: health check %v", program, i.Config.Healthcheck)
	}
	for label, want := range map[string]string{"licenses": "Apache-2.0", "version": "1.2.3", "revision": "abc"} {
		if have := i.Config.Labels["org.opencontainers.image."+label]; have != want {
			t.Errorf("%s: label %s is %q, want %q", program, label, have, want)
		}
	}
	return i.Size
}

// checkContents unpacks an image: one static program for the processor, the
// certificates, and no other byte.
func checkContents(t *testing.T, image, program string, machine elf.Machine) {
	t.Helper()
	files := filesOf(t, image)
	const authorities = "etc/ssl/certs/ca-certificates.crt"
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{program, authorities}; len(names) != 2 || !slices.Contains(names, want[0]) || !slices.Contains(names, want[1]) {
		t.Fatalf("%s: files %v, want %v", program, names, want)
	}
	if !bytes.Contains(files[authorities], []byte("BEGIN CERTIFICATE")) {
		t.Errorf("%s: no certificates", program)
	}
	binary, err := elf.NewFile(bytes.NewReader(files[program]))
	if err != nil {
		t.Fatal(err)
	}
	if binary.Machine != machine {
		t.Errorf("%s: built for %v, want %v", program, binary.Machine, machine)
	}
	for _, segment := range binary.Progs {
		if segment.Type == elf.PT_INTERP || segment.Type == elf.PT_DYNAMIC {
			t.Errorf("%s: not a static program", program)
		}
	}
}

// filesOf returns the files of an image that are not empty. The engine adds
// empty ones of its own.
func filesOf(t *testing.T, image string) map[string][]byte {
	t.Helper()
	id, err := docker(t.Context(), nil, "create", image)
	if err != nil {
		t.Fatal(err)
	}
	id = strings.TrimSpace(id)
	t.Cleanup(func() { _, _ = docker(context.WithoutCancel(t.Context()), nil, "rm", "--volumes", id) })
	archive := filepath.Join(t.TempDir(), "files.tar")
	if _, err := docker(t.Context(), nil, "export", "--output", archive, id); err != nil {
		t.Fatal(err)
	}
	files, err := untar(archive)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func untar(archive string) (map[string][]byte, error) {
	file, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	files := map[string][]byte{}
	for r := tar.NewReader(file); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", archive, err)
		}
		if header.Typeflag == tar.TypeReg && header.Size > 0 {
			if files[header.Name], err = io.ReadAll(r); err != nil {
				return nil, fmt.Errorf("read %s of %s: %w", header.Name, archive, err)
			}
		}
	}
}
