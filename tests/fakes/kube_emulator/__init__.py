"""A Kubernetes API server small enough to read: what this project uses of it, and its moods.

It serves the few resources the adapters touch over HTTPS with bearer tokens and RBAC, with
resource versions, watches, four kinds of patch and ``pods/exec``, and has a kubelet that copies
Secrets into directories after a settable delay. `tests/contracts/test_kubernetes.py` holds it and
a real cluster to the same behaviour. What it does not know it answers with 404.
"""
