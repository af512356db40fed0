#!/bin/bash
# Runs a command for each dump that Nightshard completes. The command gets the
# event on its standard input:
#
#   docs/extending/on-dump.sh PLACE COMMAND [ARGUMENT...]
#   docs/extending/on-dump.sh /var/lib/loader/place ./load-into-warehouse
#
# PLACE is a file with the number of the last event that is done: a script that is
# started again goes on behind it. Where there is none yet, it begins with the next
# event. A command that fails is run again after PAUSE seconds (60), so no event is
# passed over; and one that ended well may be run again after a crash, so it must
# bear being run twice for one dump.
#
# It needs bash, jq and the nats CLI. NATS_URL and the other settings of NATS are
# taken from the environment, as everywhere; so are STREAM and PREFIX, where
# NIGHTSHARD_SUBJECT_PREFIX is set: STREAM=NIGHTSHARD_SITE1 PREFIX=site1.
set -euo pipefail
place=$1
shift
stream=${STREAM:-NIGHTSHARD}
subject=${PREFIX:+$PREFIX.}dump.completed

[ -s "$place" ] || nats stream info "$stream" --json | jq .state.last_seq >"$place"

while :; do
  # --dump=- gives the event as JSON: the body in base64, and where the stream
  # holds it in the subject for replies. The wait is begun anew now and then: NATS
  # may have forgotten it in a restart.
  IFS= read -r -d '' message < <(timeout --foreground 5m nats sub --stream "$stream" \
    --start-sequence $(($(cat "$place") + 1)) --count 1 --dump=- "$subject") || {
    sleep 1
    continue
  }
  until jq -r '.Data | @base64d' <<<"$message" | "$@"; do
    echo "$subject: the command failed and is run again: $(jq -r '.Data | @base64d' <<<"$message")" >&2
    sleep "${PAUSE:-60}"
  done
  # $JS.ACK.STREAM.CONSUMER.TRIES.NUMBER…, with two words more before STREAM in a
  # domain.
  jq -r '.Reply | split(".") | if length < 11 then .[5] else .[7] end' <<<"$message" >"$place.new"
  mv "$place.new" "$place"
done
