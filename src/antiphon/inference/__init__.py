"""Embedded models: what there is, fetching it, and the runtimes that every session shares."""
