"""The lines that tools of the prototype read."""

from services.authcontroller.domain.report_lines import (
    consumer_line,
    processing_line,
    producer_line,
    receipt_line,
)


def test_the_lines_keep_their_shapes() -> None:
    assert receipt_line(receipts=100, generated=7) == (
        "========== AUTHCONTROLLER MESSAGE RECEIPT: ReceiptCounter = 100, "
        "GenerationCounter = 7 =========="
    )
    assert processing_line(processed=99, receipts=100, generated=None) == (
        "========== AUTHCONTROLLER MESSAGE PROCESSING: ProcessingCounter = 99, "
        "ReceiptCounter = 100, GenerationCounter = N/A =========="
    )
    assert consumer_line(
        received=10, processed=9, failed=1, downtimes=2, per_minute=60.0, is_healthy=False
    ) == (
        "AuthController Consumer Metrics - received=10 processed=9 failed=1 downtime=2 "
        "rate=60/min health=UNHEALTHY"
    )
    assert producer_line(sent=9, failed=1, per_minute=59.5) == (
        "AuthController Producer Metrics - Messages sent: 9, failed: 1, rate: 59.5/min"
    )
