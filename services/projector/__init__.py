"""The projector service: builds the read model from the log and serves queries on it."""
