"""What checks the project: `nox` runs lint, types, tests and real-ceph; `nox -s bench` measures.

The sessions run in the environment that nox itself is installed in (no environment per session):
`pip install -e '.[dev]'` has put everything there, so a run costs what its checks cost, and what is
tested is what was installed. Arguments after `--` go to pytest, or to the bench:

    nox -- --corpus DIR                       the codecs also on a corpus of encoded objects
    nox -s real-ceph -- --mds-kind both       the behaviour tests also on ceph-mds itself
    nox -s tests -- tests/unit -k frames -x
    nox -s bench -- --quick                   what got slower since bench/figures.json was written
    nox -s bench -- --write                   figures into that file and docs/performance.md
"""

import sys

import nox

nox.needs_version = ">=2024.4"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "tests", "real-ceph"]
nox.options.error_on_external_run = False

# Without a virtual environment of its own a session finds programs on PATH, which need not hold
# this environment's; its interpreter is the one way to name it for sure.
PYTHON = (sys.executable, "-m")

PARALLEL = ("-n", "2", "--dist", "loadfile")


def _paths(session: nox.Session, default: str) -> list[str]:
    """pytest's arguments: those given, and ``default`` unless they name tests themselves."""
    given = list(session.posargs)
    return given if any(arg.startswith("tests") for arg in given) else [default, *given]


@nox.session
def lint(session: nox.Session) -> None:
    """Style and format."""
    session.run(*PYTHON, "ruff", "check", ".")
    session.run(*PYTHON, "ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict, over everything."""
    session.run(*PYTHON, "mypy")


def _pytest(session: nox.Session, *arguments: str) -> None:
    """Run tests; those that fail once more, alone.

    Many start a cluster of processes and hold it to time limits, beside others on machines that
    have two cores. What fails beside others and passes alone is shown as both and counts as
    passed; what fails twice fails.
    """
    session.run(*PYTHON, "pytest", *arguments, success_codes=[0, 1])
    alone = [one for one in arguments if one not in PARALLEL]
    nothing_failed = 5  # "no tests were collected"
    again = ("--last-failed", "--last-failed-no-failures=none")
    session.run(*PYTHON, "pytest", *alone, *again, success_codes=[0, nothing_failed])


@nox.session
def tests(session: nox.Session) -> None:
    """What needs nothing but Python: sans-IO units, and trio on a virtual clock."""
    _pytest(session, "-m", "not real", *_paths(session, "tests"))


@nox.session(name="real-ceph")
def real_ceph(session: nox.Session) -> None:
    """Against Ceph's own daemons on loopback; two processes, as most of the time is waiting."""
    parallel = () if "-n" in session.posargs else PARALLEL
    _pytest(session, "-m", "real", *parallel, *_paths(session, "tests/real"))


@nox.session
def bench(session: nox.Session) -> None:
    """Figures beside ceph-mds, and within one process; see bench/__main__.py."""
    session.run(*PYTHON, "bench", *session.posargs)
