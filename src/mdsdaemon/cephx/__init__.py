"""Who may say what: keys, tickets, both sides of cephx, and the mds caps of a key."""
