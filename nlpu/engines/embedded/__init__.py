"""The embedded processor: llama.cpp in this process, on the machine's own cores."""
