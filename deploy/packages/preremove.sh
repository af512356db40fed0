#!/bin/sh
# Stops the services before their programs go; not for an upgrade. dpkg says
# "remove", rpm says how many versions stay.
set -e
case "$1" in
  remove | 0) ;;
  *) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
  systemctl disable --now nightshard-backup.service nightshard-restore.service nightshard-dumper.service
fi
