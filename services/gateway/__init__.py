"""The gateway: writes requested payments to the log, and answers questions about them over HTTP."""
