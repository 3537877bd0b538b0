"""How good a translation is: scores that carry their signatures."""
