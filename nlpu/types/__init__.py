"""Result types: from Python annotations to what a model must write, and back."""
