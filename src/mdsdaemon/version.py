"""The version of this package, kept equal to pyproject.toml's by a test, and which Ceph it is."""

__version__ = "0.1.0"

CEPH_VERSION_SHORT = "16.2.15"
CEPH_RELEASE = "pacific"
CEPH_RELEASE_TYPE = "stable"
ADMIN_SOCKET_VERSION = "2"


def git_version() -> str:
    """Stands where ceph-mds has the commit that it was built from."""
    return f"mdsdaemon-{__version__}"


def ceph_version() -> str:
    """As `ceph versions` counts daemons: release 16.2.15's protocol, our own build."""
    return (
        f"ceph version {CEPH_VERSION_SHORT} ({git_version()}) {CEPH_RELEASE} ({CEPH_RELEASE_TYPE})"
    )
