"""Stories every service shares, told against `svc_core.ports`; no flow imports an adapter."""
