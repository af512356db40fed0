#!/bin/sh
# systemd learns of units that came, changed or went. Nothing is enabled, started
# or restarted: the operator does that, in the order of docs/upgrade.md.
set -e
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
