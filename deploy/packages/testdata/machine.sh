#!/bin/bash
# A machine of its own for a test, as far as systemd is concerned: it runs as the
# first process of its name spaces, on a copy of this machine's files that is
# thrown away. The network is this machine's. As root:
#
#   machine.sh FOLDER    # empty; runs until it gets a signal or its input ends
#
# It prints the process id to enter it with.
set -euo pipefail

# inside runs in the new name spaces.
inside() {
  local root=$1/root at type opts
  mount --make-rprivate /
  mount -t tmpfs tmpfs "$1"
  mkdir "$1/upper" "$1/work" "$root"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$root"
  mount -t proc proc "$root/proc"
  mount -t sysfs sysfs "$root/sys"
  grep -E ' /sys/fs/cgroup[^ ]* (tmpfs|cgroup2?) ' /proc/self/mounts >"$1/cgroups"
  while read -r _ at type opts _; do
    [ -d "$root$at" ] || mkdir "$root$at"
    case $type in
      cgroup)
        # Of the options only those that name the hierarchy.
        opts=$(tr , '\n' <<<"$opts" | grep -vE '^(rw|ro|relatime|nosuid|nodev|noexec|xattr)$' | paste -sd,)
        mount -t cgroup cgroup -o "${opts/#name=/none,name=}" "$root$at"
        ;;
      *) mount -t "$type" "$type" "$root$at" ;;
    esac
  done <"$1/cgroups"
  mount -t tmpfs tmpfs "$root/run"
  mount -t tmpfs tmpfs "$root/tmp"
  mount --rbind /dev "$root/dev"
  # Of this machine's own units none starts.
  rm -rf "$root/etc/systemd/system"
  mkdir -p "$root/etc/systemd/system" "$root/run/old"
  printf '[Unit]\nDescription=test\nWants=systemd-journald.service\n' >"$root/etc/systemd/system/test.target"
  ln -s test.target "$root/etc/systemd/system/default.target"
  echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
  cd "$root"
  pivot_root . run/old
  umount -l /run/old
  mount --make-rshared / # as at a boot: credentials are mounted so that services see them
  exec env -i container=test PATH="$PATH" /lib/systemd/systemd --system --show-status=no
}

if [ "${2:-}" = inside ]; then
  inside "$1"
fi

# A group of its own in each hierarchy, so that it takes its groups for the root.
groups=()
child=
cleanup() {
  [ -z "$child" ] || kill -KILL "$child" 2>/dev/null || true
  wait 2>/dev/null || true
  echo $$ | tee "${groups[@]/%/\/..\/cgroup.procs}" >/dev/null || true
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    find "${groups[@]}" -depth -type d -exec rmdir {} + 2>/dev/null && break
    sleep 0.2
  done
}
trap cleanup EXIT
trap 'exit 0' TERM INT HUP
while read -r at; do
  group=$at/nightshard-test-$$
  mkdir "$group"
  if echo $$ >"$group/cgroup.procs" 2>/dev/null; then
    groups+=("$group")
  else
    rmdir "$group" # a hierarchy that wants to be set up first
  fi
done < <(awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/self/mounts)
unshare --mount --pid --fork --cgroup --uts --ipc --kill-child=KILL "$BASH" "$0" "$1" inside </dev/null &
child=$!
until systemd=$(pgrep -P "$child"); do
  kill -0 "$child"
  sleep 0.05
done
echo "$systemd"
cat >/dev/null # until whoever started it is gone
