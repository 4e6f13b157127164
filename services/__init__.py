"""An event-sourced payment gateway on NATS JetStream. Installed as the package `tollgate`."""
