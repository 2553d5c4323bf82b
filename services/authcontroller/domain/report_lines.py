"""The lines AuthController logs for people, and for tools that read them already."""

_NOT_KNOWN = "N/A"


def receipt_line(*, receipts: int, generated: int | None) -> str:
    """Return the line about requests received; ``generated`` is the sender's own count."""
    return (
        f"========== AUTHCONTROLLER MESSAGE RECEIPT: ReceiptCounter = {receipts}, "
        f"GenerationCounter = {_text(generated)} =========="
    )


def processing_line(*, processed: int, receipts: int, generated: int | None) -> str:
    """Return the line about requests decided and answered."""
    return (
        f"========== AUTHCONTROLLER MESSAGE PROCESSING: ProcessingCounter = {processed}, "
        f"ReceiptCounter = {receipts}, GenerationCounter = {_text(generated)} =========="
    )


def consumer_line(
    *,
    received: int,
    processed: int,
    failed: int,
    downtimes: int,
    per_minute: float,
    is_healthy: bool,
) -> str:
    """Return the line about requests in; counts since the start, the rate since the last line."""
    health = "HEALTHY" if is_healthy else "UNHEALTHY"
    return (
        f"AuthController Consumer Metrics - received={received} processed={processed} "
        f"failed={failed} downtime={downtimes} rate={per_minute:g}/min health={health}"
    )


def producer_line(*, sent: int, failed: int, per_minute: float) -> str:
    """Return the line about responses out; counts since the start, the rate since the last line."""
    return (
        f"AuthController Producer Metrics - Messages sent: {sent}, failed: {failed}, "
        f"rate: {per_minute:g}/min"
    )


def _text(counter: int | None) -> str:
    return _NOT_KNOWN if counter is None else str(counter)
