"""Many runs at once: one program over many inputs, on one computer."""
