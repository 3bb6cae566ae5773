"""The contract with producers and consumers, in code: the bytes of events and results, and their schemas."""
