"""Watcher: makes the NATS cluster follow the desired state, without a restart, and proves it did.

Loops: the server follower (trust, permissions and certificates of every node, reload, verification)
and the connection census (who still uses which issuer). It talks to the cluster as two users:
``watcher`` for its status, ``watcher-sys`` in the system account for reloads and monitoring.
"""
