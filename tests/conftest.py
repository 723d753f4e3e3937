"""Options and settings that every test folder shares."""

import os
from pathlib import Path

import hypothesis
import pytest

# What tests start keeps its bytecode: compiling all of it takes longer than most of them.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A loaded machine must not turn a slow example into a failure; CI runs the same examples each time.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mdsdaemon")
    group.addoption(
        "--corpus",
        metavar="DIR",
        type=Path,
        default=None,
        help="folder of encoded Ceph objects, DIR/RELEASE/TYPE/HASH, for the codec tests",
    )
    group.addoption(
        "--mds-kind",
        choices=("ours", "real", "both"),
        default="ours",
        help="which daemon the behaviour tests start: mdsdaemon, ceph-mds (to prove the tests "
        "themselves against it), or one after the other",
    )
    group.addoption(
        "--kill-rounds",
        metavar="N",
        type=int,
        default=6,
        help="how often the one-process cluster is killed under load (default: 6)",
    )
    group.addoption(
        "--kills",
        metavar="N",
        type=int,
        default=3,
        help="how often the active daemon is killed under a strict load (default: 3)",
    )
    group.addoption(
        "--tree-files",
        metavar="N",
        type=int,
        default=1200,
        help="files of the large tree that goes from ceph-mds to ours and back (default: 1200)",
    )
    group.addoption(
        "--standbys",
        metavar="N",
        type=int,
        default=200,
        help="standbys in one process (default: 200; 1000 take some minutes on two cores)",
    )
    group.addoption(
        "--large-files",
        metavar="N",
        type=int,
        default=3000,
        help="files of the directories that the cache has no room for (default: 3000)",
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests measured (``record_property("figures", …)``), also of those that passed."""
    figures = [
        (report.nodeid, value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == "figures"
    ]
    if figures:
        terminalreporter.section("figures")
        for nodeid, value in figures:
            terminalreporter.write_line(f"{nodeid.rpartition('::')[2]}: {value}")


@pytest.fixture(scope="session")
def corpus(request: pytest.FixtureRequest) -> Path:
    """The corpus folder given with ``--corpus``; without it the test is skipped."""
    folder = request.config.getoption("--corpus")
    if folder is None:
        pytest.skip("give --corpus DIR to run the codecs on encoded objects of real releases")
    assert isinstance(folder, Path)
    assert folder.is_dir(), f"--corpus {folder}: no such folder"
    return folder.resolve()
