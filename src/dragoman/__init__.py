"""Dragoman trains translators: parallel text in, a translator out."""

from dragoman.machine import ask_for_huge_pages

ask_for_huge_pages()
