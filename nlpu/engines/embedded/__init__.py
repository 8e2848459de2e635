"""The embedded processor: llama.cpp in a process beside, on the machine's own cores."""
