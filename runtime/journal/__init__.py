"""The journal: what makes runs survive their process, row by row, and what is read of it again."""
