"""What must be left of the work of a client that was killed: from its notes.

Its changes to names are journaled in order, so some beginning of them is there; at least as much as
an fsync or sync has acknowledged. A file is as it was acknowledged, or as a later call left it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.real.strict_model import Model, Node, Op, Seen, digest

_OF_NAMES = {"create", "mkdir", "rmdir", "unlink", "rename", "link", "symlink", "mknod"}
_CHANGING = {"append", "truncate", "chmod", "chown", "setxattr", "removexattr", "create"}
_MAKING = {"create": 0, "mkdir": 0, "mknod": 0, "symlink": 1, "link": 1}


def read(path: Path) -> tuple[list[Op], set[int], set[int]]:
    """(calls begun, numbers of those that came back, of the syncs among them)."""
    ops, done, safe = [], set(), set()
    for line in path.read_bytes().decode().rpartition("\n")[0].splitlines():
        word, what, _ = json.loads(line)
        if word == "op":
            ops.append(what)
        else:
            done.add(what)
            if word == "safe":
                safe.add(what)
    return ops, done, safe


class Remains:
    """The states that the file system may be in.

    Attributes:
        least: the number of a call that must have happened, with all changes of names before it.
        ledger: (records of the ledger that must be there, that may be there).
    """

    def __init__(self, path: Path) -> None:
        ops, done, safe = read(path)
        self.model = Model()
        self.least = 0
        self.states: list[tuple[int, dict[str, Node]]] = []
        self.acknowledged = len(done)
        self.durable = 0
        self._was: dict[int, list[Node]] = {}
        self._touched: dict[int, int] = {}
        acked = asked = 0
        for op in ops:
            self._apply(op, op[0] in done, op[0] in safe)
            if op[1] == "ledger":
                asked += 1
                acked += op[0] in done
        self.ledger = (acked, asked)

    def _apply(self, op: Op, done: bool, safe: bool) -> None:
        number, name, *args = op
        before = {id(n): _copy(n) for n in self._changed(name, args)}
        self.model.apply(op)
        for node in self._changed(name, args):
            if name == "create":
                before[id(node)] = Node(node.kind, node.mode)
            self._was.setdefault(id(node), [before.get(id(node), node)]).append(_copy(node))
            if name in ("create", "setxattr", "removexattr", "chmod", "chown"):
                self._touched[id(node)] = number
        if name in _OF_NAMES:
            self.states.append((number, dict(self.model.nodes)))
        if name in _MAKING:
            folder = self.model.nodes.get(args[_MAKING[name]].rpartition("/")[0])
            self._touched[id(folder)] = number
        if safe:
            self.least, self.durable = number, number
            self._was = {}
        elif done and name in ("fsync", "fsync_dir"):
            node = self.model.nodes[args[0]]
            self.least = max(self.least, self._touched.get(id(node), 0))
            self._was.pop(id(node), None)
            self.durable = number

    def _changed(self, name: str, args: list[Any]) -> Iterator[Node]:
        """The file whose contents or attributes a call changes."""
        if name in ("pwrite", "ftruncate"):
            yield self.model.held[args[0]]
        elif name in _CHANGING and args[0] in self.model.nodes:
            yield self.model.nodes[args[0]]

    def wrong(self, found: Seen, contents: dict[str, bytes]) -> list[str]:
        """What cannot be so; `contents` are those of the files found."""
        least = [s for s in self.states if s[0] <= self.least][-1:]
        candidates = least + [s for s in self.states if s[0] > self.least]
        there = {path: what[0] for path, what in found.items()}
        problems = [f"no state after call {self.least} has these names: {there}"]
        for _, nodes in candidates:
            if {path: node.kind for path, node in nodes.items()} != there:
                continue
            problems = [
                problem
                for path, node in nodes.items()
                for problem in self._differs(path, node, found[path], contents)
            ]
            if not problems:
                break
        return problems

    def _differs(
        self, path: str, node: Node, seen: list[Any], contents: dict[str, bytes]
    ) -> Iterator[str]:
        was = self._was.get(id(node), [node])
        attributes = {"mode": seen[1], "owner": seen[2:4], "xattrs": seen[7]}
        for name, value in attributes.items():
            if value not in [getattr(w, name) for w in was]:
                yield f"{path}: {name} {value} is none of {[getattr(w, name) for w in was]}"
        if node.kind != "f":
            return
        data, versions = contents[path], [bytes(w.data) for w in was]
        if data in versions:
            return
        if len(was) == 1:
            yield f"{path}: {seen} is not what was made durable: {digest(node.data)}"
        sizes = [len(v) for v in versions]
        if not min(sizes) <= len(data) <= max(sizes):
            yield f"{path}: {len(data)} bytes, not within {sizes}"
        for at in range(0, len(data), 64):
            part = data[at : at + 64]
            if any(part in (v[at : at + 64], bytes(len(part))) for v in versions):
                continue
            for i, byte in enumerate(part, at):
                if byte and all(byte != v[i] for v in versions if i < len(v)):
                    yield f"{path}: byte {i} is {byte}, of no version"
                    return


def _copy(node: Node) -> Node:
    other = copy.copy(node)
    other.data, other.xattrs, other.owner = (
        bytearray(node.data),
        dict(node.xattrs),
        list(node.owner),
    )
    return other
