"""Health polling of the providers: one poller for all replicas."""
