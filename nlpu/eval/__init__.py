"""Cases with known answers, metrics, and scores with their intervals."""
