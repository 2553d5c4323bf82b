"""The four services; each is a composition of loops on `svc_core`."""
