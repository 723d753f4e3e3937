"""Clients' sessions: opening, keeping, closing, evicting, and claiming them after a failover."""
