"""Scrub: checking what is stored of the tree, and mending it."""
