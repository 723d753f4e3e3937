"""The object store: one OSD as its clients see it. Pure; sockets and time are `embedded.osd`'s."""
