"""How a rank undoes its part in a request that another rank led.

Format: ceph/ceph, src/mds/events/EPeerUpdate.h, src/mds/journal.cc (Pacific).
"""

from mdsdaemon.encoding import U8, U64, Blob, Bool, Str, Time, field, wire
from mdsdaemon.types.frag import DirFrag
from mdsdaemon.types.session import MetaReqId


@wire(v=3, compat=2, ceph="link_rollback")
class LinkRollback:
    """A hard link made or removed."""

    reqid: MetaReqId = field(MetaReqId, factory=MetaReqId)
    ino: int = field(U64, default=0)
    was_inc: bool = field(Bool, default=False)
    old_ctime: int = field(Time, default=0)
    old_dir_mtime: int = field(Time, default=0)
    old_dir_rctime: int = field(Time, default=0)
    snapbl: bytes = field(Blob, default=b"", since=3)


@wire(v=3, compat=2, ceph="rmdir_rollback")
class RmdirRollback:
    """A directory removed."""

    reqid: MetaReqId = field(MetaReqId, factory=MetaReqId)
    src_dir: DirFrag = field(DirFrag, factory=DirFrag)
    src_dname: str = field(Str, default="")
    dest_dir: DirFrag = field(DirFrag, factory=DirFrag)
    dest_dname: str = field(Str, default="")
    snapbl: bytes = field(Blob, default=b"", since=3)


@wire(v=2, compat=2, ceph="rename_rollback::drec")
class RenameDentry:
    """One dentry of a rename, as it was."""

    dirfrag: DirFrag = field(DirFrag, factory=DirFrag)
    dirfrag_old_mtime: int = field(Time, default=0)
    dirfrag_old_rctime: int = field(Time, default=0)
    ino: int = field(U64, default=0)
    remote_ino: int = field(U64, default=0)
    dname: str = field(Str, default="")
    remote_d_type: int = field(U8, default=0)
    old_ctime: int = field(Time, default=0)


@wire(v=3, compat=2, ceph="rename_rollback")
class RenameRollback:
    """A rename."""

    reqid: MetaReqId = field(MetaReqId, factory=MetaReqId)
    orig_src: RenameDentry = field(RenameDentry, factory=RenameDentry)
    orig_dest: RenameDentry = field(RenameDentry, factory=RenameDentry)
    stray: RenameDentry = field(RenameDentry, factory=RenameDentry)
    ctime: int = field(Time, default=0)
    srci_snapbl: bytes = field(Blob, default=b"", since=3)
    desti_snapbl: bytes = field(Blob, default=b"", since=3)
