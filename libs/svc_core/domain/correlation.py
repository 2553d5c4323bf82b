"""Which response belongs to which request: said by the response's message id."""

from typing import Final

from svc_core.errors import MalformedMessageError

_SUFFIX: Final = ":response"


def response_id(request_id: str) -> str:
    """Return the message id of the one response to ``request_id``."""
    return request_id + _SUFFIX


def answered_request(message_id: str) -> str:
    """Return the id of the request that the response ``message_id`` answers.

    Raises:
        MalformedMessageError: it is not the id of a response.
    """
    if not message_id.endswith(_SUFFIX):
        raise MalformedMessageError("the message id is not that of a response")
    return message_id.removesuffix(_SUFFIX)


def generation_counter(request_id: str) -> int | None:
    """Return the index at the end of a request's id, or None if it has none."""
    index = request_id.rpartition("-")[2]
    return int(index) if index.isascii() and index.isdigit() else None
