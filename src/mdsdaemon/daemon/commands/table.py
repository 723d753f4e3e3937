"""The table of commands: descriptions as Ceph 16.2.15's ceph-mds registers them.

`ceph` completes and validates what a user types against these descriptions, so words, argument
names and types are Ceph's; the help texts are ours. Commands with an empty help are not listed by
`help`. What has no handler in the daemon (`rank=True`) is handed to the rank.

Format: ceph/ceph, src/mds/MDSDaemon.cc, src/common/ceph_context.cc, src/common/admin_socket.cc
(Pacific), checked against `get_command_descriptions` of a live daemon.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property

from mdsdaemon import records
from mdsdaemon.messages.cmdparse import Signature, parse_signature


@records.frozen
class Command:
    """One line of the table."""

    desc: str
    help: str
    rank: bool = False

    @property
    def signature(self) -> Signature:
        return parse_signature(self.desc)

    @property
    def prefix(self) -> str:
        return self.signature.prefix


class CommandTable:
    """An immutable group of commands that are registered and unregistered together.

    Tables are shared by all daemons of a process.
    """

    def __init__(self, name: str, commands: Iterable[Command]) -> None:
        self.name = name
        self._commands = tuple(commands)

    @cached_property
    def _by_prefix(self) -> dict[str, tuple[Command, ...]]:
        """Not before somebody asks: that is when descriptions are parsed."""
        by_prefix: dict[str, list[Command]] = {}
        for command in self._commands:
            # Ceph puts a second command of one prefix before the first.
            by_prefix.setdefault(command.prefix, []).insert(0, command)
        return {prefix: tuple(group) for prefix, group in by_prefix.items()}

    def find(self, prefix: str) -> tuple[Command, ...]:
        return self._by_prefix.get(prefix, ())

    def __iter__(self) -> Iterator[Command]:
        for group in self._by_prefix.values():
            yield from group


_PATH = "name=path,type=CephString"
_FRAG_ARGS = "name=path,type=CephString,req=true name=frag,type=CephString,req=true"
_FILTERS = "name=filters,type=CephString,n=N,req=false"
_COUNTER = "name=logger,type=CephString,req=false name=counter,type=CephString,req=false"
_CLIENT_CONFIG = (
    "name=client_id,type=CephInt,req=true "
    "name=option,type=CephString,req=true "
    "name=value,type=CephString,req=false"
)

ADMIN_SOCKET_COMMANDS = CommandTable(
    "admin_socket",
    [
        Command("0", ""),
        Command("version", "version of Ceph that this daemon is compatible with, and its own"),
        Command("git_version", "commit of the Ceph release that this daemon follows"),
        Command("help", "the commands of this daemon"),
        Command("get_command_descriptions", "the commands of this daemon, with their arguments"),
    ],
)

CONTEXT_COMMANDS = CommandTable(
    "context",
    [
        Command("assert", ""),
        Command("abort", ""),
        Command("leak_some_memory", ""),
        Command("perfcounters_dump", ""),
        Command("1", ""),
        Command(f"perf dump {_COUNTER}", "values of the performance counters"),
        Command("perfcounters_schema", ""),
        Command(f"perf histogram dump {_COUNTER}", "values of the performance histograms"),
        Command("2", ""),
        Command("perf schema", "types and descriptions of the performance counters"),
        Command("perf histogram schema", "types and descriptions of the performance histograms"),
        Command(
            "perf reset name=var,type=CephString",
            "perf reset <name>|all: set the counters of one group, or all, to zero",
        ),
        Command("config show", "all options with their present values"),
        Command(
            "config help name=var,type=CephString,req=false",
            "type, default and description of one option, or of all",
        ),
        Command(
            "config set name=var,type=CephString name=val,type=CephString,n=N",
            "config set <option> <value>: change an option until the next start",
        ),
        Command(
            "config unset name=var,type=CephString",
            "config unset <option>: take back an earlier config set",
        ),
        Command("config get name=var,type=CephString", "config get <option>: its present value"),
        Command("config diff", "the options that differ from their defaults, and why"),
        Command(
            "config diff get name=var,type=CephString",
            "config diff get <option>: its default, present value, and where that comes from",
        ),
        Command(
            "injectargs name=injected_args,type=CephString,n=N",
            "change options given as on the command line, until the next start",
        ),
        Command("log flush", "write log lines that are still buffered"),
        Command("log dump", "write the flight record (the most recent events) to its file"),
        Command("log reopen", "close and open the log file again, after it was rotated"),
        Command("dump_mempools", "memory by kind of object"),
    ],
)

RANK_COMMANDS = CommandTable(
    "rank",
    [Command("objecter_requests", "requests to RADOS that are under way", rank=True)],
)
"""What is there only while a rank is held."""

MDS_COMMANDS = CommandTable(
    "mds",
    [
        Command("status", "state of this daemon, its rank and its maps"),
        Command("dump_ops_in_flight", "client requests being served", rank=True),
        Command("ops", "client requests being served", rank=True),
        Command("dump_blocked_ops", "client requests that take too long", rank=True),
        Command("dump_historic_ops", "recent client requests", rank=True),
        Command(
            "dump_historic_ops_by_duration", "recent client requests, slowest first", rank=True
        ),
        Command(
            f"scrub_path {_PATH} "
            "name=scrubops,type=CephChoices,strings=force|recursive|repair,n=N,req=false "
            "name=tag,type=CephString,req=false",
            "check one inode",
            rank=True,
        ),
        Command(
            f"scrub start {_PATH} name=scrubops,type=CephChoices,"
            "strings=force|recursive|repair|scrub_mdsdir,n=N,req=false "
            "name=tag,type=CephString,req=false",
            "start to check a path",
            rank=True,
        ),
        Command("scrub abort", "stop all running checks", rank=True),
        Command("scrub pause", "hold all running checks", rank=True),
        Command("scrub resume", "go on with checks on hold", rank=True),
        Command("scrub status", "what is being checked", rank=True),
        Command(
            f"tag path {_PATH} name=tag,type=CephString",
            "put a scrub tag on all inodes below a path",
            rank=True,
        ),
        Command(f"flush_path {_PATH}", "write one inode to the metadata pool", rank=True),
        Command(
            f"export dir {_PATH} name=rank,type=CephInt",
            "hand a subtree over to another rank",
            rank=True,
        ),
        Command(
            f"dump cache {_PATH},req=false",
            "the metadata cache, to a file when a path is given",
            rank=True,
        ),
        Command(
            "cache drop name=timeout,type=CephInt,range=0,req=false",
            "ask clients to release caps, flush the journal, empty the cache",
            rank=True,
        ),
        Command("cache status", "size and limit of the cache", rank=True),
        Command(
            "dump tree name=root,type=CephString,req=true name=depth,type=CephInt,req=false",
            "the cached metadata below a directory",
            rank=True,
        ),
        Command("dump loads", "load by directory", rank=True),
        Command(
            "dump snaps name=server,type=CephChoices,strings=--server,req=false",
            "snapshots",
            rank=True,
        ),
        Command(
            f"session ls name=cap_dump,type=CephBool,req=false {_FILTERS}",
            "client sessions that match the filters",
            rank=True,
        ),
        Command(
            f"client ls name=cap_dump,type=CephBool,req=false {_FILTERS}",
            "client sessions that match the filters",
            rank=True,
        ),
        Command(f"session evict {_FILTERS}", "evict the clients that match the filters", rank=True),
        Command(f"client evict {_FILTERS}", "evict the clients that match the filters", rank=True),
        Command(
            "session kill name=client_id,type=CephString", "evict the client of this id", rank=True
        ),
        Command(
            "session ls name=cap_dump,type=CephBool,req=false", "all client sessions", rank=True
        ),
        Command(f"session config {_CLIENT_CONFIG}", "options of one client's session", rank=True),
        Command(f"client config {_CLIENT_CONFIG}", "options of one client's session", rank=True),
        Command("damage ls", "metadata found damaged", rank=True),
        Command(
            "damage rm name=damage_id,type=CephInt", "forget one entry of damage ls", rank=True
        ),
        Command(
            "osdmap barrier name=target_epoch,type=CephInt",
            "wait until the rank has this epoch of the OSD map",
            rank=True,
        ),
        Command("flush journal", "write the journal's metadata back and trim it", rank=True),
        Command("force_readonly", "serve only reads from now on", rank=True),
        Command("get subtrees", "the subtrees and the ranks that have them", rank=True),
        Command(
            f"dirfrag split {_FRAG_ARGS} name=bits,type=CephInt,req=true",
            "split a fragment of a directory",
            rank=True,
        ),
        Command(f"dirfrag merge {_FRAG_ARGS}", "merge fragments of a directory", rank=True),
        Command(f"dirfrag ls {_PATH},req=true", "the fragments of a directory", rank=True),
        Command("openfiles ls", "open files and their caps", rank=True),
        Command(
            "dump inode name=number,type=CephInt,req=true", "one inode of the cache", rank=True
        ),
        Command("exit", "leave the map and end this daemon"),
        Command("respawn", "start this daemon anew"),
        Command(
            "heap name=heapcmd,type=CephChoices,strings="
            "dump|start_profiler|stop_profiler|release|get_release_rate|set_release_rate|stats "
            "name=value,type=CephString,req=false",
            "memory of this process; start_profiler turns tracemalloc on",
        ),
        Command(
            "cpu_profiler name=arg,type=CephChoices,strings=status|flush",
            "sampling profile of this process: status starts one and shows it, flush writes it",
        ),
    ],
)
