"""Saying what a manifest grants in vain, or probably by mistake; it is taken over all the same."""

from typing import Final

import structlog

from svc_core.domain.acl_entries import Severity
from svc_core.wire.acl_manifest import JudgedManifest

log = structlog.get_logger()

MOST_REPORTED: Final = 50
"""Remarks on one version of a manifest in the log; `securetransport plan acl` prints them all."""


def report_remarks(judged: JudgedManifest, name: str) -> None:
    """Log the remarks on the manifest called ``name``, the first fifty by their place."""
    warnings = judged.warnings
    remarks = [(w, w.remark) for w in warnings[:MOST_REPORTED] if w.remark is not None]
    for warning, remark in remarks:
        is_ignored = remark.severity is Severity.IGNORED
        log.warning(
            "acl.entry_ignored" if is_ignored else "acl.entry_doubtful",
            of=remark.service,
            entry=remark.entry or "*",
            reason=remark.finding.reason,
            place=f"{name}:{warning.line}:{warning.column}",
        )
    if len(warnings) > MOST_REPORTED:
        log.warning("acl.remarks_omitted", omitted=len(warnings) - MOST_REPORTED)
