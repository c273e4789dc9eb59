"""Who is let in, who is in a conversation now, and what they may ask for."""
