"""The REPL: a console on one journaled run."""
