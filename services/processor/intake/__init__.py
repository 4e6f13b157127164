"""Taking requests and doubts from the log."""
