"""Ceph's metadata server daemon in Python on Trio."""
