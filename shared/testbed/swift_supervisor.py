"""Runs one OpenStack Swift in the foreground for as long as a test needs it.

The first test process that asks for Swift starts this program detached. It
builds the rings, starts the servers and stays until nobody has held the lock
on USERS for LINGER seconds. Then it stops the servers and removes DIR.

Locks are flocks, so they end with their processes, however these end:
- every test process holds a shared lock on USERS while it lives;
- this program was started with file descriptor 3 open and locked: as long as
  that lock is held, this instance lives.
If this program is killed, the kernel kills the servers (PR_SET_PDEATHSIG).
"""
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time

from swift.common.ring import RingBuilder

USERS, DIR, LINGER = sys.argv[1], sys.argv[2], float(sys.argv[3])
PORTS = dict(pair.split("=") for pair in sys.argv[4:])
PR_SET_PDEATHSIG = 1


def build_rings():
    """The same steps as swift-ring-builder, without six starts of Python."""
    for server in ("account", "container", "object"):
        builder = RingBuilder(4, 1, 0)  # 2^4 partitions, 1 replica
        builder.add_dev({
            "region": 1, "zone": 1, "ip": "127.0.0.1", "device": "d1", "weight": 1.0,
            "port": int(PORTS[server]), "replication_ip": "127.0.0.1",
            "replication_port": int(PORTS[server]), "meta": "",
        })
        builder.rebalance()
        builder.get_ring().save(os.path.join(DIR, server + ".ring.gz"))


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(name, *command):
    with open(os.path.join(DIR, name + ".log"), "ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                cwd=DIR, preexec_fn=die_with_parent)


def start_all():
    yield start("memcached", "memcached", "-l", "127.0.0.1", "-U", "0", "-m", "64",
                "-p", PORTS["memcached"], "-u", os.environ.get("USER_NAME", "root"))
    for server in ("account", "container", "object", "proxy"):
        yield start(server, "swift-%s-server" % server, os.path.join(DIR, server + ".conf"), "-v")


def unused(lock):
    """Takes the lock if no test process holds it. The lock stays taken."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def watch(servers):
    """Returns, with the users' lock held if possible, when it is time to stop."""
    lock = open(USERS, "a")
    idle_since = None
    while all(server.poll() is None for server in servers):
        if not unused(lock):
            idle_since = None
        else:
            idle_since = idle_since or time.monotonic()
            if time.monotonic() - idle_since >= LINGER:
                return lock
            fcntl.flock(lock, fcntl.LOCK_UN)
        time.sleep(0.25)
    print("a server ended:", [(s.args[0], s.returncode) for s in servers], flush=True)
    return lock


def main():
    os.makedirs(os.path.join(DIR, "srv", "d1"))
    build_rings()
    servers = list(start_all())
    lock = watch(servers)
    broken = any(server.poll() is not None for server in servers)
    for server in servers:
        server.kill()
    for server in servers:
        server.wait()
    if not broken:  # the logs of a broken instance are the only explanation
        shutil.rmtree(DIR, ignore_errors=True)
    lock.close()


main()
