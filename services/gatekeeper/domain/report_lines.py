"""The lines Gatekeeper logs for people, and for tools that read them already."""


def generation_line(counter: int) -> str:
    """Return the line about requests published so far."""
    return f"========== GATEKEEPER MESSAGE GENERATION: Counter = {counter} =========="


def consumer_line(*, received: int, processed: int, failed: int, per_minute: float) -> str:
    """Return the line about answers; counts since the start, the rate since the last line."""
    return (
        f"Gateway Consumer Metrics - received={received} processed={processed} "
        f"failed={failed} rate={per_minute:g}/min"
    )
