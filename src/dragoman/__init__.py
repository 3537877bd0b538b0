"""Dragoman trains translators: parallel text in, a translator out."""
