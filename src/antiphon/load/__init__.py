"""Callers to measure a server with: many in one process, each talking in real time."""
