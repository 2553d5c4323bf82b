"""What goes wrong, as the API says it."""

from typing import Any


class ApiStatusError(Exception):
    """An answer other than success."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message

    def as_document(self) -> dict[str, Any]:
        """Return the ``Status`` object of the answer."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }


def not_found(resource: str, name: str) -> ApiStatusError:
    """Return the answer for an object that is not there."""
    return ApiStatusError(404, "NotFound", f'{resource} "{name}" not found')


def forbidden(message: str) -> ApiStatusError:
    """Return the answer for something that RBAC does not allow."""
    return ApiStatusError(403, "Forbidden", message)


def invalid(message: str) -> ApiStatusError:
    """Return the answer for an object that validation refuses."""
    return ApiStatusError(422, "Invalid", message)


def conflict(message: str) -> ApiStatusError:
    """Return the answer for a write that met another one."""
    return ApiStatusError(409, "Conflict", message)
