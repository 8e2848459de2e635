"""vLLM as a process of ours: started, watched, and taken down."""
