"""The metadata cache: inodes, dentries and directory fragments, and how they lie in RADOS."""
