"""The executor: how programs run, wait and end; threads, the clock, and what comes from outside."""
