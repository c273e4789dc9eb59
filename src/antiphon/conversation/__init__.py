"""The engine of one session: it hears, decides when it is its turn, answers, and stops when cut short."""
