"""Pages and their vectors in a PostgreSQL database."""
