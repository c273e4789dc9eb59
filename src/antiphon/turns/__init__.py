"""Whose turn is it? Pure: no clock, no loop, no sockets. Time is an argument."""
