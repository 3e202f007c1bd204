package main

import (
	"crypto/sha1" //nolint:gosec // SPDX 2.3 asks for SHA-1 of files beside better sums
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// The parts of SPDX 2.3 that the bill of materials has, in the names and the
// order of its JSON schema.
type (
	document struct {
		Version       string         `json:"spdxVersion"`
		DataLicense   string         `json:"dataLicense"`
		ID            string         `json:"SPDXID"`
		Name          string         `json:"name"`
		Namespace     string         `json:"documentNamespace"`
		Creation      creation       `json:"creationInfo"`
		Describes     []string       `json:"documentDescribes"`
		Packages      []spdxPackage  `json:"packages"`
		Files         []spdxFile     `json:"files"`
		Relationships []relationship `json:"relationships"`
	}
	creation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		ID        string      `json:"SPDXID"`
		Name      string      `json:"name"`
		Version   string      `json:"versionInfo"`
		Download  string      `json:"downloadLocation"`
		Analyzed  bool        `json:"filesAnalyzed"`
		Concluded string      `json:"licenseConcluded"`
		Declared  string      `json:"licenseDeclared"`
		Copyright string      `json:"copyrightText"`
		Source    string      `json:"sourceInfo,omitempty"`
		Purpose   string      `json:"primaryPackagePurpose"`
		Refs      []reference `json:"externalRefs"`
	}
	reference struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxFile struct {
		ID        string     `json:"SPDXID"`
		Name      string     `json:"fileName"`
		Types     []string   `json:"fileTypes"`
		Checksums []checksum `json:"checksums"`
		Concluded string     `json:"licenseConcluded"`
		Copyright string     `json:"copyrightText"`
	}
	checksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	relationship struct {
		From string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
)

const (
	self    = "github.com/trivet-cri/trivet"
	unknown = "NOASSERTION"
)

// bill returns the bill of materials: Trivet, its programs, and the modules that
// each program is linked from.
func (m made) bill(b *build) ([]byte, error) {
	trivet := newPackage(&module{path: self, version: m.version}, "Apache-2.0", "APPLICATION")
	doc := document{
		Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: "SPDXRef-DOCUMENT",
		Name:      "trivet-" + m.version,
		Namespace: fmt.Sprintf("https://%s/spdx/%s/%x", self, m.version, digest(b)),
		Creation:  creation{m.created.Format(time.RFC3339), []string{"Organization: Trivet", "Tool: trivet-release-" + m.version}},
		Describes: []string{trivet.ID},
		Packages:  []spdxPackage{trivet},
	}
	doc.relate("SPDXRef-DOCUMENT", "DESCRIBES", trivet.ID)
	for _, module := range b.modules {
		doc.Packages = append(doc.Packages, newPackage(module, module.licence(), "LIBRARY"))
		doc.relate(trivet.ID, "DEPENDS_ON", moduleID(module.path))
	}
	for _, p := range b.programs {
		file := newFile(p)
		doc.Files = append(doc.Files, file)
		doc.relate(trivet.ID, "CONTAINS", file.ID)
		for _, path := range p.links {
			doc.relate(file.ID, "STATIC_LINK", moduleID(path))
		}
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	return append(text, '\n'), err
}

func (d *document) relate(from, kind, to string) {
	d.Relationships = append(d.Relationships, relationship{from, kind, to})
}

// digest tells releases of one version apart: a namespace must be unique.
func digest(b *build) []byte {
	sum := sha256.New()
	for _, p := range b.programs {
		sum.Write(p.data)
	}
	return sum.Sum(nil)[:8]
}

// notInID is what an SPDX identifier may not have.
var notInID = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// moduleID is unique although characters are replaced: the path's digest is in it.
func moduleID(path string) string {
	sum := sha256.Sum256([]byte(path))
	return fmt.Sprintf("SPDXRef-Package-%s-%x", notInID.ReplaceAllString(path, "-"), sum[:4])
}

func newPackage(m *module, licence, purpose string) spdxPackage {
	p := spdxPackage{
		ID: moduleID(m.path), Name: m.path, Version: m.version, Download: unknown, Concluded: unknown,
		Declared: licence, Copyright: unknown, Purpose: purpose,
		Refs: []reference{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + m.path + "@" + strings.ReplaceAll(m.version, "+", "%2B")}},
	}
	if m.sum != "" {
		p.Source = "go.sum: " + m.sum
	}
	return p
}

func newFile(p program) spdxFile {
	short := sha1.Sum(p.data) //nolint:gosec // see the import
	long := sha256.Sum256(p.data)
	return spdxFile{
		ID: "SPDXRef-File-" + p.name, Name: "./bin/" + p.name, Types: []string{"BINARY"},
		Checksums: []checksum{{"SHA1", hex.EncodeToString(short[:])}, {"SHA256", hex.EncodeToString(long[:])}},
		Concluded: unknown, Copyright: unknown,
	}
}
