package report

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	t := newTable()
	row, section := t.row, t.section
	row("generation", strconv.FormatInt(r.Generation, 10))
	row("uptime", short(seconds(r.UptimeSeconds)))
	row("restarts", strconv.Itoa(int(r.Restarts)))
	row("version", r.Version)
	row("launcher", fmt.Sprintf("pid %d", r.PID))
	row("config", r.ConfigPath)
	row("cri socket", r.CRISocket)
	row("network", r.network())
	section()
	row("MEMBER", "STATE", "PID", "CRITICAL", "UPTIME", "RESTARTS", "LAST EXIT")
	for _, m := range r.Members {
		pid, uptime := "-", "-"
		if m.PID != 0 {
			pid, uptime = strconv.Itoa(int(m.PID)), short(seconds(m.UptimeSeconds))
		}
		row(m.Name, m.State, pid, yes(m.Critical), uptime, strconv.Itoa(int(m.Restarts)), orDash(m.LastExit))
	}
	if len(r.Elders) > 0 {
		section()
		row("EARLIER GENERATION", "MEMBER", "PID", "STATE", "AGE")
	}
	for _, e := range r.Elders {
		state := "working until its successor starts"
		if e.Draining {
			state = "draining"
		}
		row(strconv.FormatInt(e.Generation, 10), e.Name, strconv.Itoa(int(e.PID)), state, short(seconds(e.AgeSeconds)))
	}
	r.runtime(section, row)
	if len(r.History) > 0 {
		section()
		row("RESTARTED", "AGO", "GENERATION", "REASON")
	}
	for _, h := range r.History {
		row(h.At.Local().Format(time.DateTime), short(r.now.Sub(h.At)), strconv.FormatInt(h.Generation, 10), h.Reason)
	}
	return t.writeTo(w)
}

// table aligns cells in memory, so that only one write can fail.
type table struct {
	text    bytes.Buffer
	columns *tabwriter.Writer
}

func newTable() *table {
	t := &table{}
	t.columns = tabwriter.NewWriter(&t.text, 0, 0, 2, ' ', 0)
	return t
}

func (t *table) row(cells ...string) { _, _ = fmt.Fprintln(t.columns, strings.Join(cells, "\t")) }

// section begins rows with columns of their own.
func (t *table) section() { _ = t.columns.Flush(); t.text.WriteByte('\n') }

func (t *table) writeTo(w io.Writer) error {
	_ = t.columns.Flush()
	if _, err := t.text.WriteTo(w); err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	return nil
}

// runtime writes what runtime is at, or that it does not say.
func (r *Report) runtime(section func(), row func(...string)) {
	if r.RuntimeError != "" {
		section()
		row("OPERATIONS ARE NOT KNOWN: " + line(r.RuntimeError))
	}
	if len(r.Operations) > 0 {
		section()
		row("OPERATION", "STAGE", "AGE")
	}
	for _, o := range r.Operations {
		row(line(o.Operation), line(o.Stage), short(seconds(o.AgeSeconds)))
	}
	if len(r.Quarantine) > 0 {
		section()
		row("QUARANTINED", "ID", "REASON")
	}
	for _, q := range r.Quarantine {
		row(q.Kind, q.ID, line(q.Reason))
	}
	if len(r.Logs) > 0 {
		section()
		row("LOG OF", "IN POD", "OUTPUT IS", "DROPPED BYTES", "REASON")
	}
	for _, l := range r.Logs {
		row(l.Container, l.Pod, l.State, strconv.FormatUint(l.DroppedBytes, 10), orDash(line(l.Reason)))
	}
}

// network is netsync's state in one cell.
func (r *Report) network() string {
	n := r.Network
	switch {
	case n == nil:
		return "-"
	case !n.Ready:
		return line("not ready, " + n.Reason + ": " + n.Message)
	case n.ConfigError != "":
		return line(fmt.Sprintf("ready with an older configuration, %d attachments: %s", n.Attachments, n.ConfigError))
	}
	return fmt.Sprintf("ready, %d attachments", n.Attachments)
}

// line makes a cell of a text of others, which may have several lines.
func line(text string) string { return strings.Join(strings.Fields(text), " ") }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// short rounds a duration to what a reader takes in: two units at most.
func short(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	default:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
