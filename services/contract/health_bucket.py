"""Where the processor replicas store which of them polls the providers' health, and the results.

A key-value bucket that NATS tools can read (`nats kv get HEALTH poll`), with one key.
"""

BUCKET = "KV_HEALTH"
"""The stream behind the bucket."""
BUCKET_SUBJECTS = "$KV.HEALTH.>"
POLL = "$KV.HEALTH.poll"
"""The key."""
POLL_STORED = "processor.health"
"""The broker republishes each stored record on this subject; no user may publish here."""
BUCKET_BYTES_MAX = 65_536
RECORD_BYTES_MAX = 1_024
RECORD_SECONDS_MAX = 60
"""A record that is not renewed for so long expires, so that a replica that starts later does not use an old one."""
