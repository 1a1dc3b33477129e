"""Wire formats, both directions, pure functions of bytes and values."""
