"""Which entries are topics, which are accepted in vain, and which refuse the manifest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.domain.acl_entries import Severity, judge_entry, quoted
from svc_core.domain.identity import subject


@pytest.mark.parametrize(
    "entry", ["a", "auth.auth-request", "A.b_c.9", "t" * 128, ".".join(["t" * 63] * 4)]
)
def test_literal_subjects_are_topics(entry: str) -> None:
    assert judge_entry(entry) is None


@pytest.mark.parametrize(
    "entry",
    [
        *(">", "*", "a.>", "a.*.b", "*.*", "metadata.>"),
        *("$JS.API.>", "$SYS.x", "$KV.bucket.key", "_INBOX.a", "_INBOX_gatekeeper.a"),
    ],
)
def test_wildcards_and_reserved_subjects_are_accepted_in_vain(entry: str) -> None:
    finding = judge_entry(entry)

    assert finding is not None
    assert finding.severity is Severity.IGNORED
    assert entry in finding.reason


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        pytest.param("", "an empty subject", id="empty"),
        pytest.param(".", "empty token", id="a dot"),
        pytest.param("a..b", "empty token", id="two dots"),
        pytest.param("a.b.", "empty token", id="a dot at the end"),
        pytest.param(".a", "empty token", id="a dot at the beginning"),
        pytest.param("a b", "white space", id="a blank"),
        pytest.param("a.b\n", "white space", id="a line end"),
        pytest.param("a.\u00a0", "white space", id="a blank that does not look like one"),
        pytest.param("a.b/c", "letters, digits", id="another sign"),
        pytest.param("a.\u00e4", "letters, digits", id="no ASCII"),
        pytest.param("$", "empty token", id="a lone dollar"),
        pytest.param("a.$b", "letters, digits", id="a dollar inside"),
        pytest.param("a.>.b", "> may only be the last token", id="> inside"),
        pytest.param("a.b*", "tokens of their own", id="a star in a token"),
        pytest.param(">>", "tokens of their own", id="two >"),
        pytest.param("t" * 129, "longer than 128", id="a long token"),
        pytest.param("t." * 128 + "t", "has 257 characters, 256 are allowed", id="long"),
    ],
)
def test_what_is_no_subject_is_an_error(entry: str, reason: str) -> None:
    finding = judge_entry(entry)

    assert finding is not None
    assert finding.severity is Severity.ERROR
    assert reason in finding.reason


@given(st.text(max_size=300) | st.text("a.*>$ _-", max_size=12))
def test_only_literal_subjects_are_granted(entry: str) -> None:
    if judge_entry(entry) is None:
        assert subject(entry) == entry
        assert not entry.startswith(("$", "_INBOX"))


@given(st.text(max_size=300))
def test_what_is_said_of_an_entry_is_one_printable_line(entry: str) -> None:
    finding = judge_entry(entry)

    assert finding is None or (finding.reason.isprintable() and len(finding.reason) < 400)


def test_a_quotation_is_not_endless() -> None:
    assert quoted("x" * 100) == "'" + "x" * 60 + "...'"
