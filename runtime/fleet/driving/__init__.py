"""Who drives a batch of many processes: enters its inputs, begins workers, gives its items."""
