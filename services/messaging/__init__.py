"""Access to NATS: the connection, the log and its readers, queries to the read model, operator commands."""
