"""Publishing: outputs and dead letters, in order, and what is acknowledged of them."""
