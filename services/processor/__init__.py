"""Takes requests from the log, routes each to a payment processor, charges it there once, and records the outcome."""
