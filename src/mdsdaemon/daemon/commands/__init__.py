"""The commands of `ceph tell` and of the admin socket: one table, one way to run them."""
