"""What `--help` says."""

from __future__ import annotations

from mdsdaemon.cli.cluster_args import USAGE
from mdsdaemon.errors import ExitStatus

_USAGE = """\
usage: python -m mdsdaemon -i NAME [-c CEPH.CONF] [options]
       python -m mdsdaemon record show FILE

Runs the metadata server daemon mds.NAME of the Ceph cluster that CEPH.CONF
describes, in the foreground, until it is told to stop (SIGTERM, SIGINT,
`ceph tell mds.NAME exit`).

  -i, --id NAME            name of this daemon, not beginning with a digit
  -n, --name TYPE.ID       the same with its type: mds.NAME
  -c, --conf FILE          ceph.conf; otherwise CEPH_CONF, then
                           /etc/ceph/CLUSTER.conf, ~/.ceph/CLUSTER.conf and
                           ./CLUSTER.conf
      --no-config-file     read no ceph.conf
      --cluster NAME       name of the cluster, where files are named after it
                           (default: ceph)
  -m, --mon-host LIST      addresses of monitors
  -M, --monmap FILE        a monitor map to start from
  -k, --keyring FILE       keyring with the key of mds.NAME
  -K, --keyfile FILE       file with the bare key, - for standard input
      --bind ADDRESS       address to listen on
      --setuser USER       run as this user
      --setgroup GROUP     run as this group
  -f, --foreground         stay in the foreground (it always does)
  -d                       stay in the foreground and log to stderr
      --debug-mds N        log level of the daemon, 0 to 20; its parts have
                           --debug-ms, --debug-monc, --debug-mgrc, --debug-asok
      --log-format FORMAT  log lines as text or json
      --OPTION VALUE       any option of Ceph, as in ceph.conf; for switches
                           --OPTION and --no-OPTION
      --default-OPTION V   change the default instead of the value

      --show-config        print all options with their values, and end
      --show-config-value OPTION
      --show-conf          print ceph.conf as it was understood, and end
  -v, --version
  -h, --help

Environment: CEPH_CONF, CEPH_KEYRING, CEPH_ARGS (arguments put before those
given).

`record show` prints the flight record that a daemon wrote on a crash, before a
respawn or for `ceph tell mds.NAME log dump`.

Exit statuses:
"""

_STATUSES = {
    ExitStatus.OK: "ended as asked",
    ExitStatus.USAGE: "the command line or the name is wrong",
    ExitStatus.NO_CLUSTER: "no cluster was named",
    ExitStatus.DATA: "the store of a cluster is damaged or not ours",
    ExitStatus.BAD_FILE: "a file that was named is not what it should be",
    ExitStatus.UNAVAILABLE: "no monitor could be reached",
    ExitStatus.SOFTWARE: "a bug in the program",
    ExitStatus.ADDRESS: "an address cannot be listened on",
    ExitStatus.CANNOT_CREATE: "a file or socket of ours cannot be written",
    ExitStatus.IO: "the disk is full, or fails",
    ExitStatus.TEMPORARY: "the cluster is not ready; try again later",
    ExitStatus.NOT_PERMITTED: "the monitors refuse us: key, name or caps",
    ExitStatus.CONFIG: "ceph.conf or a keyring is missing, unreadable or malformed",
    ExitStatus.NOT_FOUND: "the COMMAND after -- cannot be run",
}


def usage() -> str:
    """The text of `--help`."""
    return f"{USAGE}\n{_USAGE}" + "".join(
        f"  {status:3}  {text}\n" for status, text in _STATUSES.items()
    )
