"""The monitor of the one-process cluster: a quorum of itself, as a Pacific monitor behaves."""
