"""The software: programs for the computer, each a file that reads like its own description."""
