"""One payment from its request to its outcome."""
