"""Logs, from what the server does and what conversations tell. Listeners only: the engine knows none of
this."""
