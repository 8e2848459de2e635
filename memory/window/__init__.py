"""The context window: regions of fixed size, and what goes into them."""
