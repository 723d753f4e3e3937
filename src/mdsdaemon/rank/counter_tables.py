"""The performance counters of a rank: their names and kinds.

Names, kinds and priorities are those of a live ceph-mds 16.2.15 (`perf schema`). Some are always 0,
for what they count is not here: other ranks (forward, exported…, imported…, traverse_forward,
…_discover, handle_inode_file_caps, dispatch_server_request, handle_peer_request, strays_migrated,
ireq_exportdir), a balancer (load_cent), a queue of messages (q), locks of dentries on the way
(traverse_lock), an LRU list with a top and a tail (inodes_top, inodes_pin_tail); slow_reply is not
counted by ceph-mds either.
"""

from __future__ import annotations

from mdsdaemon.perf import PerfCounters, Prio

GAUGE, COUNT, LATENCY = "gauge", "count", "latency"
_CRIT, _INTR, _USE, _DBG = Prio.CRITICAL, Prio.INTERESTING, Prio.USEFUL, Prio.DEBUGONLY

Line = tuple[str, str, str, str, int]
"""(kind, name, description, nick, priority)"""

MDS: tuple[Line, ...] = (
    (COUNT, "request", "Requests", "req", _CRIT),
    (COUNT, "reply", "Replies", "", _DBG),
    (LATENCY, "reply_latency", "Reply latency", "rlat", _CRIT),
    (COUNT, "slow_reply", "Slow replies", "slr", _INTR),
    (COUNT, "forward", "Forwarding request", "fwd", _INTR),
    (COUNT, "dir_fetch", "Directory fetch", "", _USE),
    (COUNT, "dir_commit", "Directory commit", "", _USE),
    (COUNT, "dir_split", "Directory split", "", _USE),
    (COUNT, "dir_merge", "Directory merge", "", _USE),
    (GAUGE, "inodes", "Inodes", "inos", _CRIT),
    (GAUGE, "inodes_top", "Inodes on top", "", _DBG),
    (GAUGE, "inodes_bottom", "Inodes on bottom", "", _DBG),
    (GAUGE, "inodes_pin_tail", "Inodes on pin tail", "", _DBG),
    (GAUGE, "inodes_pinned", "Inodes pinned", "", _USE),
    (GAUGE, "inodes_expired", "Inodes expired", "", _USE),
    (GAUGE, "inodes_with_caps", "Inodes with capabilities", "", _USE),
    (GAUGE, "caps", "Capabilities", "caps", _INTR),
    (GAUGE, "subtrees", "Subtrees", "", _USE),
    (COUNT, "traverse", "Traverses", "", _DBG),
    (COUNT, "traverse_hit", "Traverse hits", "", _DBG),
    (COUNT, "traverse_forward", "Traverse forwards", "", _DBG),
    (COUNT, "traverse_discover", "Traverse directory discovers", "", _DBG),
    (COUNT, "traverse_dir_fetch", "Traverse incomplete directory content fetchings", "", _DBG),
    (COUNT, "traverse_remote_ino", "Traverse remote dentries", "", _DBG),
    (COUNT, "traverse_lock", "Traverse locks", "", _DBG),
    (GAUGE, "load_cent", "Load per cent", "", _USE),
    (GAUGE, "q", "Dispatch queue length", "", _DBG),
    (COUNT, "exported", "Exports", "", _DBG),
    (COUNT, "exported_inodes", "Exported inodes", "exi", _INTR),
    (COUNT, "imported", "Imports", "", _DBG),
    (COUNT, "imported_inodes", "Imported inodes", "imi", _INTR),
    (COUNT, "openino_dir_fetch", "OpenIno incomplete directory fetchings", "", _USE),
    (COUNT, "openino_backtrace_fetch", "OpenIno backtrace fetchings", "", _DBG),
    (COUNT, "openino_peer_discover", "OpenIno peer inode discovers", "", _DBG),
    (GAUGE, "root_rfiles", "root inode rfiles", "", _USE),
    (GAUGE, "root_rbytes", "root inode rbytes", "", _USE),
    (GAUGE, "root_rsnaps", "root inode rsnaps", "", _USE),
    (GAUGE, "scrub_backtrace_fetch", "Scrub backtrace fetchings", "", _DBG),
    (GAUGE, "scrub_set_tag", "Scrub set tags", "", _DBG),
    (GAUGE, "scrub_backtrace_repaired", "Scrub backtraces repaired", "", _DBG),
    (GAUGE, "scrub_inotable_repaired", "Scrub inotable repaired", "", _DBG),
    (GAUGE, "scrub_dir_inodes", "Scrub directory inodes", "", _DBG),
    (GAUGE, "scrub_dir_base_inodes", "Scrub directory base inodes", "", _DBG),
    (GAUGE, "scrub_dirfrag_rstats", "Scrub dirfrags rstates", "", _DBG),
    (GAUGE, "scrub_file_inodes", "Scrub file inodes", "", _DBG),
    (COUNT, "handle_inode_file_caps", "Inter mds caps msg", "hifc", _INTR),
    (COUNT, "ceph_cap_op_revoke", "Revoke caps", "crev", _INTR),
    (COUNT, "ceph_cap_op_grant", "Grant caps", "cgra", _INTR),
    (COUNT, "ceph_cap_op_trunc", "caps truncate notify", "ctru", _INTR),
    (COUNT, "ceph_cap_op_flushsnap_ack", "caps truncate notify", "cfsa", _INTR),
    (COUNT, "ceph_cap_op_flush_ack", "caps truncate notify", "cfa", _INTR),
    (COUNT, "handle_client_caps", "Client caps msg", "hcc", _INTR),
    (COUNT, "handle_client_caps_dirty", "Client dirty caps msg", "hccd", _INTR),
    (COUNT, "handle_client_cap_release", "Client cap release msg", "hccr", _INTR),
    (COUNT, "process_request_cap_release", "Process request cap release", "prcr", _INTR),
)
MDS_CACHE: tuple[Line, ...] = (
    (GAUGE, "num_strays", "Stray dentries", "stry", _INTR),
    (GAUGE, "num_strays_delayed", "Stray dentries delayed", "", _USE),
    (GAUGE, "num_strays_enqueuing", "Stray dentries enqueuing for purge", "", _USE),
    (COUNT, "strays_created", "Stray dentries created", "", _USE),
    (COUNT, "strays_enqueued", "Stray dentries enqueued for purge", "", _USE),
    (COUNT, "strays_reintegrated", "Stray dentries reintegrated", "", _USE),
    (COUNT, "strays_migrated", "Stray dentries migrated", "", _USE),
    (GAUGE, "num_recovering_processing", "Files currently being recovered", "", _USE),
    (GAUGE, "num_recovering_enqueued", "Files waiting for recovery", "recy", _INTR),
    (
        GAUGE,
        "num_recovering_prioritized",
        "Files waiting for recovery with elevated priority",
        "",
        _USE,
    ),
    (COUNT, "recovery_started", "File recoveries started", "", _USE),
    (COUNT, "recovery_completed", "File recoveries completed", "recd", _INTR),
    (COUNT, "ireq_enqueue_scrub", "Internal Request type enqueue scrub", "", _USE),
    (COUNT, "ireq_exportdir", "Internal Request type export dir", "", _USE),
    (COUNT, "ireq_flush", "Internal Request type flush", "", _USE),
    (COUNT, "ireq_fragmentdir", "Internal Request type fragmentdir", "", _USE),
    (COUNT, "ireq_fragstats", "Internal Request type frag stats", "", _USE),
    (COUNT, "ireq_inodestats", "Internal Request type inode stats", "", _USE),
)
MDS_MEM: tuple[Line, ...] = (
    (GAUGE, "ino", "Inodes", "ino", _INTR),
    (COUNT, "ino+", "Inodes opened", "", _USE),
    (COUNT, "ino-", "Inodes closed", "", _USE),
    (GAUGE, "dir", "Directories", "", _USE),
    (COUNT, "dir+", "Directories opened", "", _USE),
    (COUNT, "dir-", "Directories closed", "", _USE),
    (GAUGE, "dn", "Dentries", "dn", _INTR),
    (COUNT, "dn+", "Dentries opened", "", _USE),
    (COUNT, "dn-", "Dentries closed", "", _USE),
    (GAUGE, "cap", "Capabilities", "", _USE),
    (COUNT, "cap+", "Capabilities added", "", _USE),
    (COUNT, "cap-", "Capabilities removed", "", _USE),
    (GAUGE, "rss", "RSS", "", _DBG),
    (GAUGE, "heap", "Heap size", "", _USE),
)
MDS_SERVER: tuple[Line, ...] = (
    (COUNT, "dispatch_client_request", "Client requests dispatched", "", _DBG),
    (COUNT, "dispatch_server_request", "Server requests dispatched", "", _DBG),
    (COUNT, "handle_client_request", "Client requests", "hcr", _INTR),
    (COUNT, "handle_client_session", "Client session messages", "hcs", _INTR),
    (COUNT, "handle_peer_request", "Peer requests", "hsr", _INTR),
    (LATENCY, "req_create_latency", "Request type create latency", "", _USE),
    (LATENCY, "req_getattr_latency", "Request type get attribute latency", "", _USE),
    (LATENCY, "req_getfilelock_latency", "Request type get file lock latency", "", _USE),
    (LATENCY, "req_link_latency", "Request type link latency", "", _USE),
    (LATENCY, "req_lookup_latency", "Request type lookup latency", "", _USE),
    (LATENCY, "req_lookuphash_latency", "Request type lookup hash of inode latency", "", _USE),
    (LATENCY, "req_lookupino_latency", "Request type lookup inode latency", "", _USE),
    (LATENCY, "req_lookupname_latency", "Request type lookup name latency", "", _USE),
    (LATENCY, "req_lookupparent_latency", "Request type lookup parent latency", "", _USE),
    (LATENCY, "req_lookupsnap_latency", "Request type lookup snapshot latency", "", _USE),
    (LATENCY, "req_lssnap_latency", "Request type list snapshot latency", "", _USE),
    (LATENCY, "req_mkdir_latency", "Request type make directory latency", "", _USE),
    (LATENCY, "req_mknod_latency", "Request type make node latency", "", _USE),
    (LATENCY, "req_mksnap_latency", "Request type make snapshot latency", "", _USE),
    (LATENCY, "req_open_latency", "Request type open latency", "", _USE),
    (LATENCY, "req_readdir_latency", "Request type read directory latency", "", _USE),
    (LATENCY, "req_rename_latency", "Request type rename latency", "", _USE),
    (LATENCY, "req_renamesnap_latency", "Request type rename snapshot latency", "", _USE),
    (LATENCY, "req_rmdir_latency", "Request type remove directory latency", "", _USE),
    (LATENCY, "req_rmsnap_latency", "Request type remove snapshot latency", "", _USE),
    (LATENCY, "req_rmxattr_latency", "Request type remove extended attribute latency", "", _USE),
    (LATENCY, "req_setattr_latency", "Request type set attribute latency", "", _USE),
    (LATENCY, "req_setdirlayout_latency", "Request type set directory layout latency", "", _USE),
    (LATENCY, "req_setfilelock_latency", "Request type set file lock latency", "", _USE),
    (LATENCY, "req_setlayout_latency", "Request type set file layout latency", "", _USE),
    (LATENCY, "req_setxattr_latency", "Request type set extended attribute latency", "", _USE),
    (LATENCY, "req_symlink_latency", "Request type symbolic link latency", "", _USE),
    (LATENCY, "req_unlink_latency", "Request type unlink latency", "", _USE),
    (COUNT, "cap_revoke_eviction", "Cap Revoke Client Eviction", "cre", _INTR),
    (COUNT, "cap_acquisition_throttle", "Cap acquisition throttle counter", "cat", _INTR),
    (
        LATENCY,
        "req_getvxattr_latency",
        "Request type get virtual extended attribute latency",
        "",
        _USE,
    ),
)
MDS_SESSIONS: tuple[Line, ...] = (
    (GAUGE, "session_count", "Session count", "sess", _INTR),
    (COUNT, "session_add", "Sessions added", "", _USE),
    (COUNT, "session_remove", "Sessions removed", "", _USE),
    (GAUGE, "sessions_open", "Sessions currently open", "", _USE),
    (GAUGE, "sessions_stale", "Sessions currently stale", "", _USE),
    (GAUGE, "total_load", "Total Load", "", _USE),
    (GAUGE, "average_load", "Average Load", "", _USE),
    (GAUGE, "avg_session_uptime", "Average session uptime", "", _USE),
    (GAUGE, "mdthresh_evicted", "Sessions evicted on reaching metadata threshold", "", _USE),
)
PURGE_QUEUE: tuple[Line, ...] = (
    (GAUGE, "pq_executing_ops", "Purge queue ops in flight", "", _USE),
    (GAUGE, "pq_executing_ops_high_water", "Maximum number of executing file purge ops", "", _USE),
    (GAUGE, "pq_executing", "Purge queue tasks in flight", "", _USE),
    (GAUGE, "pq_executing_high_water", "Maximum number of executing file purges", "", _USE),
    (COUNT, "pq_executed", "Purge queue tasks executed", "purg", _INTR),
    (GAUGE, "pq_item_in_journal", "Purge item left in journal", "", _USE),
)
OPEN_FILES: tuple[Line, ...] = (
    (GAUGE, "omap_total_objs", "", "", _DBG),
    (GAUGE, "omap_total_kv_pairs", "", "", _DBG),
    (GAUGE, "omap_total_updates", "", "", _DBG),
    (GAUGE, "omap_total_removes", "", "", _DBG),
)


def make_group(name: str, table: tuple[Line, ...]) -> PerfCounters:
    """The counters of a table, at zero."""
    group = PerfCounters(name)
    add = {
        GAUGE: group.add_u64,
        COUNT: group.add_u64_counter,
        LATENCY: group.add_time_avg,
    }
    for kind, counter, description, nick, prio in table:
        add[kind](counter, description, nick, prio)
    return group
