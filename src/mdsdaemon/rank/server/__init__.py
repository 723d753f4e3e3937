"""Requests of clients: from the message to the change of metadata and the reply."""
