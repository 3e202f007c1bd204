package main

import (
	"regexp"
	"slices"
	"strings"
)

// marks are, for each licence by its SPDX name, words that only that licence has.
var marks = []struct {
	id    string
	words string
}{
	{"Apache-2.0", "apache license version 2.0, january 2004"},
	{"Apache-2.0", `licensed under the apache license, version 2.0 (the "license")`},
	{"MIT", "permission is hereby granted, free of charge, to any person obtaining a copy"},
	{"ISC", "permission to use, copy, modify, and/or distribute this software for any purpose"},
	{"MPL-2.0", "mozilla public license version 2.0"},
	{"CC-BY-SA-4.0", "attribution-sharealike 4.0 international"},
	{"CC0-1.0", "creative commons legal code cc0 1.0 universal"},
}

// bsd begins every BSD licence; the third clause is one that the shorter has not.
const (
	bsd    = "redistribution and use in source and binary forms, with or without modification"
	clause = "may be used to endorse or promote products derived"
)

// filler is what texts of one licence differ in: line breaks, comment signs,
// Markdown's emphasis.
var filler = regexp.MustCompile(`[\s>*#=]+`)

// licencesOf returns the SPDX names of the licences in a text, sorted. None
// means that the text is none that is known here.
func licencesOf(text []byte) []string {
	plain := strings.ToLower(filler.ReplaceAllString(string(text), " "))
	var ids []string
	for _, m := range marks {
		if strings.Contains(plain, m.words) {
			ids = append(ids, m.id)
		}
	}
	switch {
	case strings.Contains(plain, bsd) && strings.Contains(plain, clause):
		ids = append(ids, "BSD-3-Clause")
	case strings.Contains(plain, bsd):
		ids = append(ids, "BSD-2-Clause")
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// licence is the SPDX expression for a module: all the licences of which it
// carries a text, since which part has which is not known here. NOTICE and
// PATENTS files are not licences.
func (m *module) licence() string {
	var ids []string
	for _, n := range m.notices {
		upper := strings.ToUpper(n.name)
		if !strings.HasPrefix(upper, "NOTICE") && !strings.HasPrefix(upper, "PATENTS") {
			ids = append(ids, licencesOf(n.text)...)
		}
	}
	if len(ids) == 0 {
		return "NOASSERTION"
	}
	slices.Sort(ids)
	return strings.Join(slices.Compact(ids), " AND ")
}
