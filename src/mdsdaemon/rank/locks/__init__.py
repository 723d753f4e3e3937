"""Capabilities of clients, and the locks that decide who may have which."""
