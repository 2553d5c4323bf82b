from dataclasses import replace

from svc_core.domain import subjects
from svc_core.domain.identity import GATEKEEPER, InstanceName, subject


def test_every_service_has_subjects_and_paths_of_its_own() -> None:
    instance = InstanceName("gatekeeper-1")

    assert subjects.bundle_push(GATEKEEPER) == "metadata.bundle-push.svc-gatekeeper"
    assert subjects.dead_letters(GATEKEEPER) == "dlq.gatekeeper"
    assert subjects.identity_path(GATEKEEPER, instance) == "identities/gatekeeper/gatekeeper-1"
    assert (
        subjects.status_key(GATEKEEPER, instance) == "$KV.rotation-status.gatekeeper.gatekeeper-1"
    )
    assert subjects.inbox_prefix(GATEKEEPER) == "_INBOX_gatekeeper"


def test_every_durable_reads_a_subject_of_its_own_stream() -> None:
    streams = {stream.name: stream for stream in subjects.STREAMS}

    for durable in subjects.DURABLES:
        assert durable.filter_subject in streams[durable.stream].subjects
        assert subject(durable.filter_subject) == durable.filter_subject


def test_no_subject_is_stored_twice() -> None:
    stored = [name for stream in subjects.STREAMS for name in stream.subjects]

    assert len(stored) == len(set(stored))


def test_a_stream_holds_at_least_one_of_its_largest_messages() -> None:
    assert all(0 < stream.max_message <= stream.max_bytes for stream in subjects.STREAMS)


def test_only_the_streams_between_services_are_sized() -> None:
    sized = subjects.declared_streams(subjects.LEAST_STREAM_BYTES)
    former = {stream.name: stream for stream in subjects.STREAMS}

    changed = [stream for stream in sized if stream != former[stream.name]]

    assert [stream.name for stream in sized] == list(former)
    assert {stream.name for stream in changed} == {subjects.AUTH_STREAM, subjects.GATEKEEPER_STREAM}
    assert all(
        stream == replace(former[stream.name], max_bytes=subjects.LEAST_STREAM_BYTES)
        for stream in changed
    )


def test_what_is_declared_unless_said_otherwise_is_what_the_accounts_reserve() -> None:
    assert subjects.declared_streams(subjects.MOST_STREAM_BYTES) == subjects.STREAMS
