"""What every service's shell shares: the connection to the broker, writing and reading the log, running a process."""
