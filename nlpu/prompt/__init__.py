"""From an op and its operands to a prompt's ids, and from a reply to a result."""
