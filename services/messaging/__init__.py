"""Everything towards NATS: the connection, the log and its readers, questions to the read model, operator commands."""
