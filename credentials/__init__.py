"""The kernel: nouns and formats. No I/O, no clock and no randomness of its own."""
