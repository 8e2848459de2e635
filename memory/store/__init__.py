"""The vector store and the disk: pages, their index, and what can be asked of them."""
