package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	mit  = "MIT License\n\nPermission is hereby granted, free of charge, to any\nperson obtaining a copy of this software\n"
	bsd3 = "Redistribution and use in source and binary forms, with or without\n   modification, are permitted\nmay be used to endorse or promote products derived from this software\n"
)

// fixture is a build of two programs that share a module.
func fixture(t *testing.T) *build {
	t.Helper()
	b := new(build)
	info := func(modules ...*debug.Module) *buildinfo.BuildInfo {
		return &buildinfo.BuildInfo{GoVersion: "go1.26.8", Deps: modules, Settings: []debug.BuildSetting{{Key: "GOARCH", Value: "amd64"}}}
	}
	shared, alone := &debug.Module{Path: "example.com/shared", Version: "v1.0.0"}, &debug.Module{Path: "example.com/alone", Version: "v2.0.0"}
	for name, err := range map[string]error{
		"one": b.addProgram("one", []byte("program one"), info(shared)),
		"two": b.addProgram("two", []byte("program two"), info(shared, alone)),
	} {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return b
}

// put writes a file of the test and returns its path.
func put(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// complete gives the fixture its sums and licences.
func complete(t *testing.T, b *build) {
	t.Helper()
	sums := put(t, "go.sum", "example.com/shared v1.0.0 h1:shared=\nexample.com/alone v2.0.0 h1:alone=\n")
	notices := []file{
		{"example.com/shared", put(t, "LICENSE", mit)},
		{"example.com/shared", put(t, "COPYING", bsd3)},
		{"example.com/alone", put(t, "LICENSE.txt", mit)},
		{"example.com/not-linked", put(t, "LICENSE", mit)},
		{std, put(t, "LICENSE", bsd3)},
	}
	if err := errors.Join(b.addSums(sums), b.addNotices(notices)); err != nil {
		t.Fatal(err)
	}
}

func TestBillNamesWhatIsLinked(t *testing.T) {
	t.Parallel()
	b := fixture(t)
	complete(t, b)
	text, err := made{"1.2.3", time.Unix(1000, 0).UTC()}.bill(b)
	if err != nil {
		t.Fatal(err)
	}
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	declared := make(map[string]string)
	for _, p := range doc.Packages {
		declared[p.Name] = p.Version + " " + p.Declared + " " + p.Source
	}
	for name, want := range map[string]string{
		self:                 "1.2.3 Apache-2.0 ",
		"example.com/shared": "v1.0.0 BSD-3-Clause AND MIT go.sum: h1:shared=",
		"example.com/alone":  "v2.0.0 MIT go.sum: h1:alone=",
		std:                  "1.26.8 BSD-3-Clause ",
	} {
		if declared[name] != want {
			t.Errorf("%s is %q, want %q", name, declared[name], want)
		}
	}
	if len(doc.Packages) != 4 || doc.Creation.Created != "1970-01-01T00:16:40Z" {
		t.Errorf("%d packages, created %s", len(doc.Packages), doc.Creation.Created)
	}
	link := relationship{"SPDXRef-File-one", "STATIC_LINK", moduleID("example.com/alone")}
	if slices.Contains(doc.Relationships, link) {
		t.Error("the first program is said to have the second's module")
	}
	if link.From = "SPDXRef-File-two"; !slices.Contains(doc.Relationships, link) {
		t.Error("the second program is not said to have its module")
	}
}

func TestWhatIsMissingIsAnError(t *testing.T) {
	t.Parallel()
	b := fixture(t)
	if err := b.addSums(put(t, "go.sum", "example.com/alone v2.0.0 h1:alone=\n")); err == nil || !strings.Contains(err.Error(), "example.com/shared v1.0.0") {
		t.Errorf("a sum is missing, error is %v", err)
	}
	if err := b.addNotices([]file{{"example.com/alone", put(t, "LICENSE", mit)}, {std, put(t, "LICENSE", bsd3)}}); err == nil || !strings.Contains(err.Error(), "example.com/shared") {
		t.Errorf("a licence is missing, error is %v", err)
	}
	if err := b.addProgram("bare", nil, &buildinfo.BuildInfo{}); err == nil || !strings.Contains(err.Error(), "bare") {
		t.Errorf("a program without modules, error is %v", err)
	}
	if _, err := readPrograms([]file{{"text", put(t, "text", "no program")}}); err == nil || !strings.Contains(err.Error(), "text") {
		t.Errorf("no program, error is %v", err)
	}
}

func TestArchiveDependsOnItsContentAlone(t *testing.T) {
	t.Parallel()
	entries := []entry{{name: "z", data: []byte("last")}, {name: "bin/one", data: []byte("program"), program: true}}
	var archives [2][]byte
	for i := range archives {
		path := filepath.Join(t.TempDir(), "a.tar.gz")
		if err := writeArchive(path, "top", entries); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(entries)
		archives[i], _ = os.ReadFile(path)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two archives of the same entries differ")
	}
	zipped, err := gzip.NewReader(bytes.NewReader(archives[0]))
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(zipped)
	for _, want := range []struct {
		name string
		mode int64
	}{{"top/bin/one", 0o755}, {"top/z", 0o644}} {
		if header, err := archive.Next(); err != nil || header.Name != want.name || header.Mode != want.mode || !header.ModTime.Equal(time.Unix(0, 0)) {
			t.Errorf("header %+v, error %v, want %+v", header, err, want)
		}
	}
	if _, err := archive.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last entry: %v", err)
	}
	if err := writeArchive(filepath.Join(t.TempDir(), "a"), "top", []entry{{name: "a"}, {name: "b"}, {name: "a"}}); err == nil || !strings.Contains(err.Error(), "a is there twice") {
		t.Errorf("a name twice, error is %v", err)
	}
}

func TestLicencesAreRecognized(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"MIT":                  {mit, []string{"MIT"}},
		"BSD with three":       {bsd3, []string{"BSD-3-Clause"}},
		"BSD with two, quoted": {"> Redistribution and use in source and binary forms, with or\n> without modification", []string{"BSD-2-Clause"}},
		"Apache":               {"   Apache License\n     Version 2.0, January 2004\n", []string{"Apache-2.0"}},
		"two in one":           {mit + "Licensed under the Apache License, Version 2.0 (the \"License\");", []string{"Apache-2.0", "MIT"}},
		"MPL":                  {"Mozilla Public License Version 2.0\n====\n", []string{"MPL-2.0"}},
		"none":                 {"All rights reserved.", nil},
	} {
		if got := licencesOf([]byte(c.text)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	m := module{notices: []notice{{"NOTICE", []byte(mit)}}}
	if got := m.licence(); got != unknown {
		t.Errorf("a NOTICE is taken for the licence %s", got)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	got, err := readStatus(put(t, "status", "BUILD_HOST h\nSTABLE_TRIVET_TIME 1000\nSTABLE_TRIVET_VERSION 1.2.3+abc\n"))
	if err != nil || got.version != "1.2.3+abc" || got.created.Unix() != 1000 {
		t.Errorf("status %+v, error %v", got, err)
	}
	for _, text := range []string{"STABLE_TRIVET_TIME now\nSTABLE_TRIVET_VERSION 1\n", "STABLE_TRIVET_TIME 1\n", "STABLE_TRIVET_TIME 1\nSTABLE_TRIVET_VERSION ../up\n"} {
		if _, err := readStatus(put(t, "status", text)); err == nil {
			t.Errorf("%q is no error", text)
		}
	}
}

func TestPackRefusesHalfACommandLine(t *testing.T) {
	t.Parallel()
	full := []string{"-out=o", "-status=s", "-sums=g", "-program=trivet=p", "-file=LICENSE=l", "-notice=std=n"}
	if in, err := parse(full); err != nil || len(in.programs) != 1 || in.files[0] != (file{"LICENSE", "l"}) {
		t.Errorf("inputs %+v, error %v", in, err)
	}
	if in, err := parse([]string{"@" + put(t, "params", strings.Join(full, "\n")+"\n")}); err != nil || in.notices[0] != (file{std, "n"}) {
		t.Errorf("from a file: inputs %+v, error %v", in, err)
	}
	for i := range 4 {
		if _, err := parse(slices.Delete(slices.Clone(full), i, i+1)); err == nil {
			t.Errorf("without %s it is no error", full[i])
		}
	}
}
