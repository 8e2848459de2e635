"""A batch of many processes: its inputs in a database, and workers who claim them."""
