"""The HTTP edge: takes payments into the log, and answers questions about them."""
