"""Modules that are loaded when they are used: by a program, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mdsdaemon import late_modules

ROOT = Path(__file__).parents[2]


def run(script: str, **env: str) -> list[str]:
    """The lines that a Python program prints; what goes wrong in it is an error here."""
    path = os.pathsep.join([str(ROOT / "src"), *filter(None, [env.pop("path", "")])])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True,
        check=False, env={**os.environ, **env, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


START = (
    "import sys; from mdsdaemon import late_modules as late\nwith late.deferred(): import trio\n"
)


def test_trio_is_loaded_without_them() -> None:
    script = START + (
        "print(sorted(n for n, m in sys.modules.items() if type(m) is late._LateModule))\n"
        "print(sorted({'_ssl', 'lzma', 'bz2'} & set(sys.modules)))"
    )
    late, loaded = run(script)
    assert set(eval(late)) <= late_modules.NAMES
    assert {"ssl", "shutil", "tempfile"} <= set(eval(late))
    assert loaded == "[]"


@pytest.mark.parametrize(
    "use",
    [
        "import ssl; ssl.create_default_context()",
        "import ssl; assert 'create_default_context' in dir(ssl)",
        "from ssl import *; create_default_context()",
        "import ssl; trio.SSLListener(None, ssl.create_default_context())",
        "trio.run(trio.socket.getaddrinfo, '127.0.0.1', 80)",
        "import tempfile, shutil; d = tempfile.mkdtemp(); shutil.rmtree(d)",
        "import subprocess; assert subprocess.run(['echo', 'x'], capture_output=True, text=True)",
        "trio.run(trio.run_process, ['true'])",
        "import traceback\ntry: trio.run(1)\nexcept TypeError: traceback.format_exc().index('_fn')",
        "import ipaddress; assert ipaddress.ip_address('::1').is_loopback",
        "import locale; locale.setlocale(locale.LC_ALL, 'C')",
        "import tokenize, inspect; assert 'def run' in inspect.getsource(trio.run)",
        "import pathlib; assert str(pathlib.PureWindowsPath('c:/a').drive) == 'c:'",
        "import copy, ssl; assert copy.copy(ssl.TLSVersion.TLSv1_2) is ssl.TLSVersion.TLSv1_2",
        "import importlib, ssl; assert importlib.reload(ssl) is ssl",
    ],
)  # fmt: skip
def test_each_works_when_it_is_used(use: str) -> None:
    run(START + "import trio.testing\n" + use)


def test_loaded_in_the_end() -> None:
    script = START + (
        "import ssl; late.load(); print(type(ssl).__name__, 'SSLContext' in vars(ssl))\n"
        "print(late._empty, [f for f in sys.meta_path if f is late._LateFinder])\n"
        "import importlib; sys.modules.pop('locale'); import locale; print(type(locale).__name__)"
    )
    assert run(script) == ["module True", "{} []", "module"]


def test_attributes_that_are_not_there() -> None:
    script = START + (
        "import ssl\n"
        "for _ in range(2):\n"
        "    try: ssl.no_such_thing\n"
        "    except AttributeError as e: print(e)"
    )
    assert run(script) == ["module 'ssl' has no attribute 'no_such_thing'"] * 2


def test_one_that_cannot_be_loaded_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "ntpath.py").write_text(
        "import os\nif 'BROKEN' in os.environ: raise OSError(24, 'Too many open files')\nsep = 1"
    )
    script = START + (
        "import os, ntpath\nos.environ['BROKEN'] = '1'\n"
        "try: ntpath.sep\n"
        "except OSError as e: print(e.errno)\n"
        "del os.environ['BROKEN']; print(ntpath.sep)"
    )
    assert run(script, path=str(tmp_path)) == ["24", "1"]


def test_a_module_that_looks_at_itself_while_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "ntpath.py").write_text(
        "import sys\nme = sys.modules[__name__]\n"
        "first = me.__name__, hasattr(me, 'later')\nlater = 1"
    )
    script = START + "import ntpath; print(ntpath.first, ntpath.later)"
    assert run(script, path=str(tmp_path)) == ["('ntpath', False) 1"]


def test_two_threads_use_one_at_the_same_time(tmp_path: Path) -> None:
    (tmp_path / "ntpath.py").write_text("import time\ntime.sleep(0.2)\nsep = 1")
    script = START + (
        "import threading, ntpath\nseen = []\n"
        "ts = [threading.Thread(target=lambda: seen.append(ntpath.sep)) for _ in range(4)]\n"
        "for t in ts: t.start()\n"
        "for t in ts: t.join()\n"
        "print(seen)"
    )
    assert run(script, path=str(tmp_path)) == ["[1, 1, 1, 1]"]


def test_a_host_program_imports_as_it_likes() -> None:
    script = (
        "import sys; before = list(sys.meta_path)\n"
        "import mdsdaemon; mdsdaemon.open_mds, mdsdaemon.open_cluster\n"
        "import ssl; print(sys.meta_path == before, type(ssl).__name__, 'SSLContext' in vars(ssl))"
    )
    assert run(script) == ["True module True"]


def test_a_program_that_ends_leaves_no_finder() -> None:
    script = (
        "import sys; from mdsdaemon.cli import main\n"
        "main(['-i', '0']); print(any('Late' in str(f) for f in sys.meta_path))"
    )
    assert run(script) == ["False"]


def test_what_a_standby_does_without() -> None:
    """All that is loaded until the first beacon is what it needs."""
    script = (
        "import sys; from mdsdaemon import late_modules as late\n"
        "with late.deferred(): import mdsdaemon.cli.process, mdsdaemon.daemon.runner\n"
        "print(sorted(n for n, m in sys.modules.items() if type(m) is not late._LateModule))"
    )
    loaded = set(eval(run(script)[0]))
    assert not loaded & late_modules.NAMES
    for name in (
        "tracemalloc", "pickle", "mdsdaemon.cephx.caps", "mdsdaemon.clients.mgr_client",
        "mdsdaemon.rank.mds_rank", "mdsdaemon.clients.objecter", "mdsdaemon.embedded.osd",
        "importlib.metadata", "cryptography.x509", "asyncio",
    ):  # fmt: skip
        assert name not in loaded
