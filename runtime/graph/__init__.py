"""The graph of a run: nodes, the kinds of work on them, and what they take."""
