"""Dead letters read again: what each was, which are sent again, and the notes that make it happen once."""
