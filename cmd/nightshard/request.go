package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	pb "nightshard/proto/nightshard/v1"
	"nightshard/shared/connect"
	"nightshard/shared/events"
	"nightshard/shared/night"
	"nightshard/shared/service"
)

const requestExamples = `  nightshard request backup --follow
  nightshard request backup --day 2016-06-01 --force --reason "disk replaced"
  nightshard request restore 2016-06-01 --follow
  nightshard request dump --measurement cpu --from 2016-06-01 --to 2016-06-15`

// requestFlags are those of all three requests.
type requestFlags struct {
	follow  bool
	timeout time.Duration
}

func (f *requestFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.follow, "follow", false, "show the work until its last step is done; exit 1 when one failed")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 0, "with --follow: give up watching after this long, such as 2h (default: never)")
}

func (f *requestFlags) check() error {
	if f.timeout < 0 || (f.timeout > 0 && !f.follow) {
		return misuse("--timeout is %s: it needs --follow and a time above zero, such as 2h", f.timeout)
	}
	return nil
}

func (a *app) requestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "request",
		Short:   "Ask the services for a backup, a restore or dumps",
		Example: requestExamples,
		Args:    cobra.NoArgs,
		RunE: a.does(func(context.Context, []string) error {
			return misuse("say what to request: nightshard request backup, restore or dump")
		}),
	}
	cmd.AddCommand(a.requestBackup(), a.requestRestore(), a.requestDump())
	return cmd
}

func (a *app) requestBackup() *cobra.Command {
	var flags requestFlags
	var day string
	msg := &pb.BackupRequested{}
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Ask for a backup; a restore and the dumps follow it",
		Example: `  nightshard request backup --follow
  nightshard request backup --day 2016-06-01 --force --reason "disk replaced"`,
		Args: wants(),
		RunE: a.does(func(ctx context.Context, _ []string) error {
			return a.request(ctx, flags, func(c service.Common) (wish, error) {
				msg.Day, msg.Database = day, c.Database
				return wish{msg: msg}, a.checkDay(c, day, true)
			})
		}),
	}
	cmd.Flags().StringVar(&day, "day", "", "day that the backup carries, YYYY-MM-DD (default: the current one by the service's rule)")
	cmd.Flags().BoolVar(&msg.Force, "force", false, "replace the finished backup of a past day; accept what NIGHTSHARD_UNUSUAL=fail refuses")
	cmd.Flags().StringVar(&msg.Reason, "reason", "", "why, for people to read")
	flags.add(cmd)
	return cmd
}

func (a *app) requestRestore() *cobra.Command {
	var flags requestFlags
	msg := &pb.RestoreRequested{}
	cmd := &cobra.Command{
		Use:   "restore DAY|newest",
		Short: "Ask for a day to be restored to the intermediary; the dumps follow it",
		Long: `Ask for a day to be restored to the intermediary; the dumps follow it.

newest is the newest day that is whole (see nightshard verify: its archives are
read) and whose last restore did not fail. Each newer day is named, with what is
wrong with it.`,
		Example: `  nightshard request restore 2016-06-01 --follow
  nightshard request restore newest --follow
  nightshard request restore 2016-06-01 --force`,
		Args: wants("DAY or newest"),

		ValidArgsFunction: a.completeDay(false, newestDay),

		RunE: a.does(func(ctx context.Context, args []string) error {
			return a.request(ctx, flags, func(c service.Common) (wish, error) {
				msg.Day, msg.Database = args[0], c.Database
				if msg.GetDay() == newestDay {
					chosen, passed, err := a.newest(ctx)
					msg.Day = chosen
					return wish{msg: msg, passed: passed}, err
				}
				return wish{msg: msg}, a.checkDay(c, args[0], false)
			})
		}),
	}
	cmd.Flags().BoolVar(&msg.Force, "force", false, "restore although a guard says that the target may be production")
	flags.add(cmd)
	return cmd
}

func (a *app) requestDump() *cobra.Command {
	var flags requestFlags
	msg := &pb.DumpRequested{}
	cmd := &cobra.Command{
		Use:     "dump --measurement NAME --from DAY",
		Short:   "Ask for dumps of what the intermediary holds now",
		Example: `  nightshard request dump --measurement cpu --from 2016-06-01 --to 2016-06-15 --follow`,
		Args:    wants(),
		RunE: a.does(func(ctx context.Context, _ []string) error {
			return a.request(ctx, flags, func(c service.Common) (wish, error) {
				msg.Database = c.Database
				return wish{msg: msg}, a.checkDump(c, msg)
			})
		}),
	}
	cmd.Flags().StringVar(&msg.Measurement, "measurement", "", "measurement (required)")
	completeFlag(cmd, "measurement", a.completeMeasurement())
	cmd.Flags().StringVar(&msg.From, "from", "", "first day, YYYY-MM-DD (required)")
	cmd.Flags().StringVar(&msg.To, "to", "", "last day, included (default: the first day alone)")
	cmd.Flags().StringVar(&msg.RetentionPolicy, "rp", "", "retention policy (default: the service's)")
	flags.add(cmd)
	return cmd
}

// checkDay refuses what the service would refuse, before anything is published.
func (a *app) checkDay(c service.Common, text string, mayBeEmpty bool) error {
	if text == "" && mayBeEmpty {
		return nil
	}
	day, err := night.ParseDay(text)
	if err != nil {
		return misuse("%w", err)
	}
	if today := night.DayOf(a.now(), c.Location()); today.Before(day) {
		return misuse("day %s has not come yet, today is %s in %s (NIGHTSHARD_TIMEZONE): ask for a day up to today", day, today, c.Location())
	}
	return nil
}

func (a *app) checkDump(c service.Common, msg *pb.DumpRequested) error {
	if msg.GetMeasurement() == "" || msg.GetFrom() == "" {
		return misuse("--measurement is %q and --from is %q: both are required, such as --measurement cpu --from 2016-06-01", msg.GetMeasurement(), msg.GetFrom())
	}
	if err := errors.Join(a.checkDay(c, msg.GetFrom(), false), a.checkDay(c, msg.GetTo(), true)); err != nil {
		return err
	}
	// Days of this form sort as text.
	if msg.GetTo() != "" && msg.GetTo() < msg.GetFrom() {
		return misuse("--to %s is before --from %s: give the earlier day as --from", msg.GetTo(), msg.GetFrom())
	}
	return nil
}

// wish is what somebody wants to request.
type wish struct {
	msg proto.Message
	// passed are the days that were not chosen, newest first.
	passed []passedDay
}

// passedDay is a day that was passed over for an older one.
type passedDay struct {
	Day      string          `json:"day"`
	Problems []night.Problem `json:"problems"`
}

// request publishes what build makes and, if asked, follows it.
func (a *app) request(ctx context.Context, flags requestFlags, build func(service.Common) (wish, error)) error {
	c, err := a.settings()
	if err != nil {
		return err
	}
	if err := flags.check(); err != nil {
		return err
	}
	w, err := build(c)
	if err != nil {
		return err
	}
	end := a.errs.life(words("connecting to NATS"))
	defer end()
	relay := &relay{to: a.note}
	bus, err := a.bus(ctx, c, relay.say)
	if err != nil {
		return err
	}
	defer connect.Close(ctx, bus, noLog())
	asked, err := a.publish(ctx, bus, c, w)
	end()
	if err != nil {
		return err
	}
	if !flags.follow {
		return a.printAsked(asked)
	}
	return a.follow(ctx, bus, asked, flags.timeout, relay)
}

// asked is a request that is stored in the stream.
type asked struct {
	subject string // with the prefix
	stream  string
	seq     uint64
	msg     proto.Message
	passed  []passedDay
}

func (a *app) publish(ctx context.Context, bus *events.Bus, c service.Common, w wish) (asked, error) {
	subject, ok := events.SubjectOf(w.msg)
	if !ok {
		return asked{}, fmt.Errorf("publish %T: %w", w.msg, events.ErrUnknownSubject)
	}
	ctx, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	seq, err := bus.Publish(ctx, subject, w.msg, "")
	if err != nil {
		return asked{}, fmt.Errorf("%w: whether it is stored is not known, look with nightshard status", err)
	}
	if c.SubjectPrefix != "" {
		subject = c.SubjectPrefix + "." + subject
	}
	return asked{subject: subject, stream: bus.StreamName(), seq: seq, msg: w.msg, passed: w.passed}, nil
}

// askedReport is a stored request as JSON.
type askedReport struct {
	Subject  string          `json:"subject"`
	Stream   string          `json:"stream"`
	Sequence uint64          `json:"sequence"`
	Message  json.RawMessage `json:"message"`
	// PassedOver are the days newer than the one that was chosen, with what is
	// wrong with each.
	PassedOver []passedDay `json:"passedOver,omitempty"`
}

func (q asked) report() (askedReport, error) {
	body, err := events.Encode(q.msg)
	if err != nil {
		return askedReport{}, fmt.Errorf("show request: %w", err)
	}
	return askedReport{Subject: q.subject, Stream: q.stream, Sequence: q.seq, Message: body, PassedOver: q.passed}, nil
}

func (q asked) String() string {
	return fmt.Sprintf("requested: %s is event %d of stream %s", q.subject, q.seq, q.stream)
}

func (a *app) printAsked(q asked) error {
	if !a.asJSON {
		a.out.printf("%s\n", q)
		return nil
	}
	report, err := q.report()
	if err != nil {
		return err
	}
	return a.out.json(report)
}
