"""Parallel text that a translator makes: back-translation and distillation."""
