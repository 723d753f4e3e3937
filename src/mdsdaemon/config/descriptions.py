"""What the options that this daemon reads are for, in a few words."""

from __future__ import annotations

_TEXT = """
admin_socket: path of the Unix socket for `ceph daemon`
admin_socket_mode: octal permissions of the admin socket
auth_client_required: authentication methods that we offer to monitors and other servers
auth_cluster_required: authentication methods that we accept from mds, mon, mgr and osd
auth_service_required: authentication methods that we accept from clients
auth_service_ticket_ttl: seconds that a ticket for a service is valid
auth_supported: authentication methods, where the three more precise options are not set
cephx_require_version: lowest cephx version accepted between daemons
cephx_service_require_version: lowest cephx version accepted from clients
chdir: directory to change to after the start
clog_to_monitors: which cluster log channels go to the monitors
crash_dir: directory for crash reports
fsid: identity of the cluster
heartbeat_inject_failure: seconds for which the internal heartbeat pretends to be unhealthy
host: name of this machine; the system's when empty
inject_early_sigterm: send SIGTERM to ourselves when the daemon is up (tests)
key: cephx key of this daemon; never shown
keyfile: file with the bare cephx key of this daemon
keyring: file with the cephx key of this daemon
log_coarse_timestamps: log time stamps to the millisecond instead of the microsecond
log_file: file that log lines go to
log_max_recent: events kept in the flight record
log_stderr_prefix: put before each log line on stderr
log_to_file: write log lines to log_file
log_to_stderr: write all log lines to stderr
log_to_syslog: write all log lines to syslog
err_to_stderr: write errors to stderr
err_to_syslog: write errors to syslog
mds_beacon_grace: seconds without an acknowledged beacon after which we count ourselves as laggy
mds_beacon_interval: seconds between beacons to the monitor
mds_data: directory of this daemon's own files
mds_enable_op_tracker: keep track of client requests
mds_heartbeat_grace: seconds that a part of the daemon may be stuck before beacons stop
mds_join_fs: file system that this standby prefers
mds_mon_shutdown_timeout: seconds to wait for the monitor when a rank is damaged
mds_numa_node: NUMA node to run on; -1 for any
mds_tick_interval: seconds between the daemon's regular checks
mds_valgrind_exit: end instead of starting anew on respawn
max_rotating_auth_attempts: attempts to get rotating keys at the start
mgr_client_bytes: bytes in flight from the manager
mgr_connect_retry_interval: seconds between attempts to reach the manager
mon_client_hunt_interval: seconds before other monitors are tried
mon_client_hunt_interval_backoff: factor by which that time grows
mon_client_hunt_interval_max_multiple: largest multiple of that time
mon_client_hunt_interval_min_multiple: smallest multiple of that time
mon_client_hunt_parallel: monitors tried at once
mon_client_log_interval: seconds between deliveries of the cluster log
mon_client_max_log_entries_per_message: cluster log entries in one message
mon_client_ping_interval: seconds between keepalives to the monitor
mon_client_ping_timeout: seconds without an answer after which the monitor is given up
mon_dns_srv_name: DNS service name of the monitors (not looked up by this daemon)
mon_host: addresses or names of the monitors
mon_host_override: monitors to use whatever else is configured
mon_initial_members: names of the monitors in a new cluster
monmap: file with a monitor map to start from
ms_bind_before_connect: bind outgoing connections too
ms_bind_ipv4: listen on IPv4
ms_bind_ipv6: listen on IPv6
ms_bind_msgr1: listen for the old protocol (not spoken by this daemon)
ms_bind_msgr2: listen for the messenger protocol, version 2
ms_bind_port_max: last port to try
ms_bind_port_min: first port to try
ms_bind_prefer_ipv4: name the IPv4 address first
ms_bind_retry_count: attempts to find a free port
ms_bind_retry_delay: seconds between these attempts
ms_client_mode: crc or secure, as a client, in order of preference
ms_cluster_mode: crc or secure, between daemons, in order of preference
ms_connection_idle_timeout: seconds after which a silent connection counts as broken
ms_connection_ready_timeout: seconds that a handshake may take
ms_crc_data: checksum the data of messages
ms_crc_header: checksum the headers of messages
ms_dispatch_throttle_bytes: bytes of messages read and not yet handled
ms_initial_backoff: seconds before the first attempt to connect again
ms_max_backoff: most seconds between attempts to connect again
ms_mon_client_mode: crc or secure, to monitors, in order of preference
ms_service_mode: crc or secure, with our clients, in order of preference
ms_tcp_nodelay: send without gathering small segments
ms_tcp_rcvbuf: receive buffer of sockets in bytes, 0 for the system's choice
osd_op_complaint_time: seconds after which an object operation is reported as slow
pid_file: file for the process ID
public_addr: address to listen on
public_addrv: addresses to listen on
public_network: networks to choose the listening address from
public_network_interface: interfaces to choose the listening address from
rotating_keys_bootstrap_timeout: seconds to wait for rotating keys in one attempt
run_dir: directory of sockets and pid files
setgroup: group to run as
setuser: user to run as
setuser_match_path: change user only when this path belongs to that user
"""

_DESCRIPTIONS = dict(line.split(": ", 1) for line in _TEXT.strip().splitlines())


def description(name: str) -> str:
    """A few words about an option, "" for those that this daemon does not read."""
    if name in _DESCRIPTIONS:
        return _DESCRIPTIONS[name]
    if name.startswith("debug_"):
        return f"log level of {name[6:]}: N, or N/M with M for what is kept in memory"
    return ""
