"""Benchmarks that are not installed: research, peers, and the server without a model."""
