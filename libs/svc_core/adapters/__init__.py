"""The only modules that touch the world: client libraries, sockets, files, clocks, entropy.

Each adapter plays a role from `svc_core.ports` and translates foreign exceptions at the call.
"""
