"""Takes requests from the log, routes each to a provider, charges it there once, and records the outcome."""
