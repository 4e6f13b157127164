"""`tollgate archive`: closes stretches of the log, checks them, and lets them leave the stream."""
