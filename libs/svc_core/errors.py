"""The error taxonomy every layer shares.

An error's class decides two things once, so that no caller inspects text: its stable ``code``
(for logs, metrics and people) and its `Disposition` (what a loop does about it). Attributes hold
facts; messages are built from them and never contain key material.
"""

from enum import Enum
from typing import ClassVar


class Disposition(Enum):
    """What a loop does with an error."""

    RETRY = "retry"
    """The same call may succeed later: back off, then repeat."""
    REJECT = "reject"
    """This input will never succeed: terminate it, dead-letter it, carry on."""
    FATAL = "fatal"
    """This process cannot continue: let the task group end."""


class SvcError(Exception):
    """Base of every error this project raises on purpose."""

    code: ClassVar[str] = "internal.unclassified"
    disposition: ClassVar[Disposition] = Disposition.FATAL
    advice: ClassVar[str] = ""
    """What a person can do next; empty where nothing but waiting helps."""


# --- configuration -----------------------------------------------------------------------------


class ConfigError(SvcError):
    """The process cannot start as it is configured (exit code 2)."""

    code = "config.invalid"
    disposition = Disposition.FATAL


class ProviderRefusedError(ConfigError):
    """The configured implementation of an algorithm is missing or failed its known answers."""

    code = "config.provider_refused"
    advice = "choose another provider for this operation in the section `crypto`"

    def __init__(self, *, provider: str, algorithm: str, operation: str, reason: str) -> None:
        super().__init__(f"{provider} may not {operation} with {algorithm}: it {reason}")
        self.provider = provider
        self.algorithm = algorithm
        self.operation = operation
        self.reason = reason


class ProfileMismatchError(ConfigError):
    """The authority runs another rotation profile than this process is configured for."""

    code = "config.profile_mismatch"
    advice = "set the same `profile` in both configuration files and start again"

    def __init__(self, *, configured: str, announced: str) -> None:
        super().__init__(f"profile is {configured!r} here but {announced!r} at the authority")
        self.configured = configured
        self.announced = announced


# --- dependencies ------------------------------------------------------------------------------


class DependencyError(SvcError):
    """NATS, OpenBao or Kubernetes did not answer, or answered that it cannot now."""

    code = "dependency.unavailable"
    disposition = Disposition.RETRY


class SecretStoreError(DependencyError):
    """OpenBao did not answer in time or answered with a server error."""

    code = "dependency.openbao"


class BusError(DependencyError):
    """NATS did not answer in time, or is not connected."""

    code = "dependency.nats"


class NobodyAnswersError(BusError):
    """Nobody subscribes to the subject of a request yet, or any more; it was not delivered."""

    code = "dependency.nobody_answers"


class AnswerLostError(BusError):
    """Something was sent and no answer came; it may have been received."""

    code = "dependency.answer_lost"


class UnacknowledgedError(AnswerLostError):
    """A message was sent again and again and never acknowledged: it may be stored, or still be.

    Publishing it once more under the same id is safe as long as its stream remembers the id.
    """

    code = "dependency.unacknowledged"


class OrderBrokenError(BusError):
    """A message was not sent because an earlier one of its ordering key was given up.

    That one may still land; whoever publishes this one again accepts that it comes second.
    """

    code = "dependency.order_broken"


class StreamFullError(BusError):
    """A stream takes nothing new before something in it is removed or ends by age."""

    code = "dependency.stream_full"
    advice = "look at what is in it and remove what is not needed"


class KubernetesError(DependencyError):
    """The Kubernetes API did not answer in time or answered with a server error."""

    code = "dependency.kubernetes"


class ReloadError(DependencyError):
    """A NATS server refused or did not take over new material; it runs on with the old."""

    code = "nats.reload_failed"


class UntrustedAnswerError(DependencyError):
    """A dependency answered with what must not be used; what is in use stays in use."""

    code = "dependency.untrusted_answer"


class StaleWriteError(SvcError):
    """A check-and-set write met another version than it expected."""

    code = "store.stale_write"
    disposition = Disposition.RETRY


class AlreadyExistsError(StaleWriteError):
    """A create-only path exists already."""

    code = "store.already_exists"


class NotFoundError(SvcError):
    """What was asked for does not exist (yet)."""

    code = "store.not_found"
    disposition = Disposition.RETRY


class RequestRefusedError(SvcError):
    """A server understood the request and refused it; the same request will fail again."""

    code = "dependency.refused"
    disposition = Disposition.RETRY


class AccessDeniedError(SvcError):
    """A server refused this process's identity or permissions."""

    code = "access.denied"
    disposition = Disposition.RETRY
    advice = "check the policy, the AppRole and whether the service has been revoked"


class KeyNotAvailableError(SvcError):
    """A key this service should have is not here yet; a newer bundle may bring it."""

    code = "key.not_available"
    disposition = Disposition.RETRY


class KeyExhaustedError(KeyNotAvailableError):
    """A topic key has sealed as many messages as it may: wait for the next one.

    The next epoch's key, or a newer generation, ends it.
    """

    code = "key.exhausted"
    advice = "find out who sends that much; the next key epoch brings a fresh key"


class OverloadedError(SvcError):
    """More was offered than can be worked on, and no more may wait: slow down."""

    code = "service.overloaded"
    disposition = Disposition.RETRY


class ReplayWindowFullError(SvcError):
    """More messages are in their freshness window than may be remembered: slow down."""

    code = "message.replay_window_full"
    disposition = Disposition.RETRY


# --- input -------------------------------------------------------------------------------------


class RejectedError(SvcError):
    """Base of everything that is wrong with one input and will stay wrong."""

    code = "input.rejected"
    disposition = Disposition.REJECT


class MalformedMessageError(RejectedError):
    """Bytes that are no message of this kind."""

    code = "message.malformed"


class OversizedMessageError(MalformedMessageError):
    """More bytes than the limit for this kind of message."""

    code = "message.oversized"


class VerificationError(RejectedError):
    """A cryptographic check failed. One class, one text, no cause: no oracle."""

    code = "message.verification_failed"

    def __init__(self) -> None:
        super().__init__("verification failed")


class TopicMismatchError(RejectedError):
    """The message says another topic than the handler it reached was configured for."""

    code = "message.topic_mismatch"


class ProducerNotAllowedError(RejectedError):
    """The signer may not produce on this topic."""

    code = "message.producer_not_allowed"


class UnknownKeyError(RejectedError):
    """The message names a key this service does not have, also after asking for it."""

    code = "message.unknown_key"


class KeyExpiredError(RejectedError):
    """The message names a key whose life is over."""

    code = "message.key_expired"


class AlgorithmMismatchError(RejectedError):
    """The message names another algorithm than its key has."""

    code = "message.algorithm_mismatch"


class AlgorithmRefusedError(RejectedError):
    """A key or message of an algorithm this service does not accept, or no longer."""

    code = "message.algorithm_refused"


class StaleMessageError(RejectedError):
    """The message is older than its kind allows."""

    code = "message.stale"


class FutureMessageError(RejectedError):
    """The message was made later than the tolerated clock skew allows."""

    code = "message.from_the_future"


class ReplayError(RejectedError):
    """A request that was already answered came again."""

    code = "message.replayed"


class PermissionDeniedError(RejectedError):
    """This service may not do that with this topic."""

    code = "topic.permission_denied"


class DeliveryExhaustedError(RejectedError):
    """A message that could be neither handled nor refused, however often it was delivered."""

    code = "delivery.exhausted"
    advice = "mend what kept it from being handled, then replay it: nothing is wrong with it"

    def __init__(self, *, deliveries: int, last_code: str) -> None:
        super().__init__(f"given up after {deliveries} deliveries, the last with {last_code}")
        self.deliveries = deliveries
        self.last_code = last_code


class BundleRollbackError(RejectedError):
    """A bundle or desired state with a lower version than the one in use."""

    code = "bundle.rollback"


class BundleExpiredError(RejectedError):
    """A bundle whose life is over (a freeze attack, or a clock far off)."""

    code = "bundle.expired"


class BundleRecipientError(RejectedError):
    """A bundle made for another service or instance."""

    code = "bundle.recipient"


class IdentityError(RejectedError):
    """A signer that is not registered, is revoked, or is not who it says."""

    code = "identity.refused"


class IdentityListRollbackError(RejectedError):
    """A list of Metadata's identities that is not newer than the one in force."""

    code = "identity.list_rollback"
    advice = "ship the newest list; to go back on purpose, restart the service"


class TlsMaterialError(RejectedError):
    """Certificate material that is incomplete, mismatched, expired or for someone else."""

    code = "tls.material_refused"


# --- internal ----------------------------------------------------------------------------------


class ProtocolOrderError(SvcError):
    """A state machine was asked for a move it does not have."""

    code = "protocol.order"
    disposition = Disposition.FATAL


class StorageFullError(SvcError):
    """A disk has no room left for what must be recorded before anything else happens."""

    code = "storage.full"
    disposition = Disposition.FATAL
    advice = "free some disk space, then start again"


class LoopExitedError(SvcError):
    """A loop that was meant to run for ever returned: a bug."""

    code = "loop.exited"
    disposition = Disposition.FATAL
