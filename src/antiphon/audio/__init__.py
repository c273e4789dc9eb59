"""Sound as numbers: frames, resampling, WAV files, levels, playout positions. Pure: no clock, no I/O but
files."""
