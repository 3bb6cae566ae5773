"""From text to token ids, and what becomes of a text that is too long."""
