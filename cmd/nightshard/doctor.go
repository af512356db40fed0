package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"nightshard/shared/service"
)

const doctorExamples = `  nightshard doctor
  nightshard doctor --json | jq -r '.findings[] | select(.level == "problem") | .what'`

// doctorBound is how long one check may take.
const doctorBound = 20 * time.Second

// Levels of a finding, the worst last.
const (
	levelOK      = "ok"
	levelUnknown = "unknown"
	levelWarning = "warning"
	levelProblem = "problem"
)

// finding is one line of the doctor: what is the case, why it matters for
// tonight, and what to do.
type finding struct {
	Area  string `json:"area"`
	Level string `json:"level"`
	What  string `json:"what"`
	Why   string `json:"why,omitempty"`
	Do    string `json:"do,omitempty"`
}

// findings collects those of one area.
type findings []finding

func (f *findings) add(level, what, why, do string) {
	*f = append(*f, finding{Level: level, What: oneLine(what), Why: why, Do: do})
}

func (f *findings) ok(format string, args ...any) {
	f.add(levelOK, fmt.Sprintf(format, args...), "", "")
}

func (f *findings) problem(what, why, do string) { f.add(levelProblem, what, why, do) }
func (f *findings) warning(what, why, do string) { f.add(levelWarning, what, why, do) }
func (f *findings) unknown(what, why, do string) { f.add(levelUnknown, what, why, do) }

// doctorReport is what the doctor found.
type doctorReport struct {
	// Level is the worst of the findings.
	Level    string    `json:"level"`
	Findings []finding `json:"findings"`
}

// check looks at one area. It heeds the end of its context.
type check struct {
	area string
	run  func(context.Context) findings
}

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Every reason why tonight might fail",
		Long: `Every reason why tonight might fail, with what it means and what to do.

It looks at the settings, both InfluxDBs with their two ports, Swift's account,
quota and limits, NATS with its stream, durables and rights, the next run, and
the last days: missing, damaged, not proved, dumps without their last minutes.
It changes nothing and stores nothing. Each check is bounded; they run side by
side.

Run it with the settings of all three services, for example

  (set -a; . ./settings.env; nightshard doctor)

What is not set here is not known here, and said so: level unknown.

Exit code 0: no problem, perhaps warnings; 1: at least one problem.`,
		Example: doctorExamples,
		Args:    wants(),
		RunE:    a.does(func(ctx context.Context, _ []string) error { return a.doctor(ctx) }),
	}
}

func (a *app) doctor(ctx context.Context) error {
	d := newDoctor(a)
	r := d.examine(ctx)
	if a.asJSON {
		if err := a.out.json(r); err != nil {
			return err
		}
	} else {
		a.printFindings(r)
	}
	if r.Level == levelProblem {
		return &silentError{why: "there is a problem"}
	}
	return nil
}

// doctor has what the checks share.
type doctor struct {
	*app
	vars   map[string]string // the environment, with secrets from their files
	wrong  []string          // what is wrong with those files
	common service.Common
}

func newDoctor(a *app) *doctor {
	vars, wrong := service.Secrets(a.env)
	d := &doctor{app: a, vars: vars, wrong: wrong}
	d.common = commonOf(vars)
	return d
}

func (d *doctor) checks() []check {
	return []check{
		{"settings", d.checkSettings},
		{"schedule", d.checkSchedule},
		{"influxdb", d.checkInflux},
		{"swift", d.checkSwift},
		{"nats", d.checkNATS},
		{"days", d.checkDays},
	}
}

// examine runs all checks side by side.
func (d *doctor) examine(ctx context.Context) *doctorReport {
	checks := d.checks()
	open := &openChecks{names: map[string]bool{}}
	for _, c := range checks {
		open.names[c.area] = true
	}
	end := d.errs.life(open.words)
	defer end()
	found := make([]findings, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() {
			found[i] = bounded(ctx, c)
			open.done(c.area)
		})
	}
	wg.Wait()
	r := &doctorReport{Level: levelOK, Findings: []finding{}}
	for i, c := range checks {
		for _, f := range found[i] {
			f.Area = c.area
			r.Findings = append(r.Findings, f)
			r.Level = worse(r.Level, f.Level)
		}
	}
	return r
}

// bounded runs a check for at most doctorBound. One that heeds no deadline is
// left behind.
func bounded(ctx context.Context, c check) findings {
	ctx, cancel := context.WithTimeout(ctx, doctorBound)
	defer cancel()
	result := make(chan findings, 1)
	go func() { result <- c.run(ctx) }()
	late := time.NewTimer(doctorBound + 2*time.Second)
	defer late.Stop()
	select {
	case f := <-result:
		return f
	case <-late.C:
		var f findings
		f.unknown("no answer within "+doctorBound.String(), "a server that hangs makes the night hang", "look at the server's own log")
		return f
	}
}

func worse(a, b string) string {
	order := []string{levelOK, levelUnknown, levelWarning, levelProblem}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

// openChecks names the checks that are still at work.
type openChecks struct {
	mu    sync.Mutex
	names map[string]bool
}

func (o *openChecks) done(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.names, name)
}

func (o *openChecks) words() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var names []string
	for name := range o.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return "looking at " + strings.Join(names, ", ")
}

// printFindings shows the areas one after the other; what is not in order with
// its reason and remedy below it.
func (a *app) printFindings(r *doctorReport) {
	area := ""
	counts := map[string]int{}
	for _, f := range r.Findings {
		if f.Area != area {
			if area != "" {
				a.out.printf("\n")
			}
			a.out.printf("%s\n", a.out.bold(f.Area))
			area = f.Area
		}
		counts[f.Level]++
		a.out.paragraph("  "+a.levelText(f.Level)+strings.Repeat(" ", len(levelProblem)-len(f.Level))+"  ", 4+len(levelProblem), f.What)
		if f.Why != "" {
			a.out.paragraph("             why: ", 18, f.Why)
		}
		if f.Do != "" {
			a.out.paragraph("             do:  ", 18, f.Do)
		}
	}
	a.out.printf("\n%s, %s, %s unknown, %s in order\n", plural(counts[levelProblem], "problem"), plural(counts[levelWarning], "warning"),
		countText(counts[levelUnknown]), countText(counts[levelOK]))
}

func (a *app) levelText(level string) string {
	switch level {
	case levelOK:
		return a.out.good(level)
	case levelProblem, levelWarning:
		return a.out.warn(level)
	}
	return level
}
