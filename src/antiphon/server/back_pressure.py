"""What waits for a client that reads slowly waits in our own queue, where it is counted, and where an interruption can
drop it: not below it, in the transport and in the kernel."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress

MOST_UNSENT = 16 * 1024
"""Bytes that may wait below the queue, in the transport and again in the kernel: a sixth of a second of sound at
48 kHz, and more than the longest usual message. By itself Linux takes megabytes for a client that does not read."""

TCP_NOTSENT_LOWAT = 25
"""Linux's number for it (``tcp.h``); Python has no name for it yet."""


def hold_little(listening: socket.socket) -> None:
    """Have the kernel take no more than it is about to send, for every connection that is accepted here. Does nothing
    where the system has no such option."""
    if sys.platform == "linux":
        with suppress(OSError):  # a socket that is not TCP, handed over by --fd
            listening.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, MOST_UNSENT)
