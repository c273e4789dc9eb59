"""Speech-to-text, language models, voices and ears, behind one Protocol per kind (see ``base``)."""
