"""Snapshots and their realms."""
