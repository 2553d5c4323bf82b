"""What the doctor concludes, and what it makes of its options."""

import json
import os
from pathlib import Path

import pytest

from console.doctor import DoctorOptionError, DoctorOptions, examine_all, read_target
from console.doctor_cases import CASES, Expectation, Kind, Reach, Shown
from console.doctor_examination import Control, Finding, Verdict, is_sound, judge, read_counts
from console.doctor_probe import Seen, Target
from console.doctor_report import report, summary
from console.doctor_wallet import FileWallet, NotInWalletError, forge
from svc_core.crypto.certificates import names_of, signer_among
from svc_core.errors import ConfigError
from tests.tls_materials import SOMEONE, make_material, new_issuer
from tests.unit.console.test_command_line import run

ISSUER = new_issuer()
UNKNOWN_CA = Expectation(Reach.REFUSED, counted="m{unknown_ca}")
FORBIDDEN = Expectation(Reach.DENIED, "403", "m{403}")
MOVED = {"m{unknown_ca}": 1.0, "m{403}": 1.0}
GOOD, BAD = (Control(Seen(reach), {}) for reach in (Reach.SERVED, Reach.UNREACHABLE))


@pytest.mark.parametrize(
    ("expected", "seen", "verdict"),
    [
        pytest.param(UNKNOWN_CA, Seen(Reach.REFUSED), Verdict.OK, id="refused"),
        pytest.param(UNKNOWN_CA, Seen(Reach.DENIED, "404"), Verdict.ACCEPTED, id="handshake done"),
        pytest.param(UNKNOWN_CA, Seen(Reach.SERVED, "200"), Verdict.ACCEPTED, id="served"),
        pytest.param(UNKNOWN_CA, Seen(Reach.UNREACHABLE), Verdict.UNCLEAR, id="nobody there"),
        pytest.param(FORBIDDEN, Seen(Reach.DENIED, "403"), Verdict.OK, id="forbidden"),
        pytest.param(FORBIDDEN, Seen(Reach.DENIED, "401"), Verdict.UNCLEAR, id="another reason"),
        pytest.param(FORBIDDEN, Seen(Reach.REFUSED), Verdict.UNCLEAR, id="not even asked"),
        pytest.param(FORBIDDEN, Seen(Reach.SERVED, "200"), Verdict.ACCEPTED, id="let in"),
    ],
)
def test_whoever_gets_further_than_expected_was_accepted(
    expected: Expectation, seen: Seen, verdict: Verdict
) -> None:
    assert judge(expected, seen, MOVED, controls=[GOOD, GOOD]) is verdict


def test_a_refusal_that_was_not_counted_for_its_reason_proves_nothing() -> None:
    seen = Seen(Reach.REFUSED)

    assert judge(UNKNOWN_CA, seen, {"m{expired}": 1}) is Verdict.UNCLEAR
    assert judge(UNKNOWN_CA, seen, {}) is Verdict.UNCLEAR


@pytest.mark.parametrize("controls", [[GOOD, BAD], [BAD, GOOD]])
def test_a_refusal_beside_a_failing_control_proves_nothing(controls: list[Control]) -> None:
    refused, served = Seen(Reach.REFUSED), Seen(Reach.SERVED)

    assert judge(UNKNOWN_CA, refused, MOVED, controls=controls) is Verdict.UNCLEAR
    assert judge(UNKNOWN_CA, served, MOVED, controls=controls) is Verdict.ACCEPTED


def finding(verdict: Verdict, *, target: str = "n1") -> Finding:
    return Finding(target, "something", "refused", "refused: closed", verdict, "m{x} +1")


@pytest.mark.parametrize(
    ("verdicts", "sound"),
    [
        ([Verdict.OK, Verdict.NOT_TRIED], True),
        ([Verdict.OK, Verdict.ACCEPTED], False),
        ([Verdict.OK, Verdict.UNCLEAR], False),
        ([Verdict.NOT_TRIED], False),
        ([], False),
    ],
)
def test_sound_is_what_was_tried_and_came_out_as_expected(
    verdicts: list[Verdict], sound: bool
) -> None:
    assert is_sound([finding(verdict) for verdict in verdicts]) is sound


def test_the_report_says_everything_in_either_form(capsys: pytest.CaptureFixture[str]) -> None:
    findings = [finding(Verdict.OK), finding(Verdict.ACCEPTED, target="gatekeeper")]

    report(findings, as_json=True)
    document = json.loads(capsys.readouterr().out)
    report(findings, as_json=False)
    text = capsys.readouterr().out

    assert document["sound"] is False
    assert document["findings"][1] == {
        "target": "gatekeeper",
        "tried": "something",
        "expected": "refused",
        "seen": "refused: closed",
        "counted": "m{x} +1",
        "verdict": "ACCEPTED",
    }
    assert "gatekeeper" in text
    assert "2 attempts: 1 as expected, 1 ACCEPTED" in text
    assert summary([]) == "0 attempts: "


def test_every_listener_has_a_negative_case_for_every_reason() -> None:
    reasons = [case.admin.counted for case in CASES if case.admin.counted]

    assert len(reasons) == len(set(reasons)) == 9
    assert {case.shows for case in CASES} == set(Shown)


def test_counters_are_read_by_metric_and_label() -> None:
    page = (
        "# TYPE st_admin_handshakes_refused_total counter\n"
        'st_admin_handshakes_refused_total{reason="expired"} 3.0\n'
        "# TYPE other counter\nother_total 9.0\n"
    )

    assert read_counts(page) == {"st_admin_handshakes_refused_total{expired}": 3.0}
    assert read_counts("") == {}


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("a=host:1", Target("a", Kind.ADMIN, "host", 1)),
        ("a=[::1]:8443", Target("a", Kind.ADMIN, "::1", 8443)),
    ],
)
def test_a_listener_is_a_name_and_an_address(text: str, target: Target) -> None:
    assert read_target(text, Kind.ADMIN) == target


@pytest.mark.parametrize("text", ["host:1", "a=host", "a=:1", "=host:1", "a=host:x", ""])
def test_anything_else_is_no_listener(text: str) -> None:
    with pytest.raises(DoctorOptionError, match="NAME=HOST:PORT"):
        read_target(text, Kind.NATS)


def options(**changes: object) -> DoctorOptions:
    plain: dict[str, object] = {
        "admin": ("a=127.0.0.1:1",),
        "nats": (),
        "trust": None,
        "show": (),
        "root": Path("var"),
        "as_json": False,
    }
    return DoctorOptions(**(plain | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({}, "need --trust", id="no trust"),
        pytest.param({"trust": Path("ca.pem"), "show": ("x=y",)}, "not 'x=y'", id="no such kind"),
        pytest.param({"trust": Path("a"), "show": ("none=y",)}, "not 'none=y'", id="not to give"),
        pytest.param({"admin": (), "trust": Path("ca.pem")}, "go with --admin", id="for nobody"),
        pytest.param({"trust": Path("/nowhere/ca.pem")}, "cannot be read", id="no such file"),
    ],
)
async def test_options_that_make_no_sense_are_named(
    changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        await examine_all(options(**changes))


def test_certificates_come_from_their_directories(tmp_path: Path) -> None:
    original = make_material(ISSUER)
    (tmp_path / "cert.pem").write_text(original.chain_pem)
    (tmp_path / "key.pem").write_bytes(original.key_pem.reveal())
    (tmp_path / "ca.pem").write_text(ISSUER.pem)
    wallet = FileWallet(tmp_path / "ca.pem", {Shown.GOOD: tmp_path, Shown.READER: tmp_path / "x"})

    shown = wallet.show(Shown.GOOD)

    assert (shown.chain_pem, shown.trust_pem) == (original.chain_pem, ISSUER.pem)
    for absent in (Shown.READER, Shown.EXPIRED):
        with pytest.raises(NotInWalletError, match=f"--show {absent.value}=DIR"):
            wallet.show(absent)
    assert names_of(wallet.show(Shown.FOREIGN).chain_pem).uris == (SOMEONE,)


def test_a_forged_certificate_has_every_name_right_and_the_signature_wrong() -> None:
    forged = forge(make_material(ISSUER), ISSUER.pem)

    assert names_of(forged.chain_pem).uris == (SOMEONE,)
    assert signer_among(forged.chain_pem, {"ours": ISSUER.pem}) == ""
    assert forged.trust_pem == ISSUER.pem


def test_the_command_explains_itself_and_its_mistakes(tmp_path: Path) -> None:
    helped = run("doctor", "--help")
    absent = run("doctor", "--var", os.fspath(tmp_path))
    wrong = run("doctor", "--admin", "nonsense")

    assert helped.returncode == 0
    assert "Exit codes" in helped.stdout
    assert (absent.returncode, absent.stdout) == (2, "")
    assert "no stack runs in" in absent.stderr
    assert wrong.returncode == 2
    assert "NAME=HOST:PORT" in wrong.stderr
