"""What `authority_bench` is asked to measure, and what it calls what it measured."""

from dataclasses import dataclass
from typing import Final

MODULE: Final = "authority_bench"
"""The process that measures: it imports the authority, and so nothing here imports it."""
ROUND: Final = "round"
MEMORY: Final = "memory"

ISSUE: Final = "issue one epoch, end to end"
ASSEMBLE: Final = "assemble, seal and sign a bundle"
SEAL: Final = "of that, seal and sign"
IDLE: Final = "nothing"
BUNDLE: Final = "bundle"


@dataclass(frozen=True, slots=True)
class AuthorityOrder:
    """One shape of rights, and where OpenBao is; nothing in it is secret."""

    openbao_url: str
    ca_file: str
    role_id_file: str
    """Of Metadata's AppRole; so is the secret-id."""
    secret_id_file: str
    manifest_file: str
    """The manifest that is shipped."""
    topics: int = 0
    """0: measure the shipped manifest."""
    services: int = 0
    consumers: int = 0
    """Of each topic."""
    bundles_stored: int = 8
    """How many bundles are stored and pulled in a round: each costs OpenBao something."""

    @property
    def shape(self) -> str:
        """What is measured, in words."""
        if self.topics == 0:
            return "the shipped manifest"
        return (
            f"{self.topics:,} topics, {self.services} services, "
            f"one producer and {self.consumers} consumers for each topic"
        )
