"""Workers of a batch in a database: they claim inputs, carry them out, share one budget."""
