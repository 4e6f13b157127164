"""Where the processor replicas keep who asks for the payment processors' health, and what was answered.

A key-value bucket as NATS tools know it (`nats kv get HEALTH poll`), with one key.
"""

BUCKET = "KV_HEALTH"
"""The stream behind the bucket."""
BUCKET_SUBJECTS = "$KV.HEALTH.>"
POLL = "$KV.HEALTH.poll"
"""The key."""
POLL_STORED = "processor.health"
"""What the broker has stored under the key, it says here; nobody else may."""
BUCKET_BYTES_MAX = 65_536
RECORD_BYTES_MAX = 1_024
RECORD_SECONDS_MAX = 60
"""What nobody has renewed for so long is forgotten: no replica that starts later takes it for news."""
