"""Everything that imports lightning, but for the data module."""
