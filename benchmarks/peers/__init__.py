"""The benchmark programs in other frameworks; each runs as a script in the peers' environment."""
