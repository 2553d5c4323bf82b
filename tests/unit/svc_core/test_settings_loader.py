from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from svc_core.config import Duration, Section
from svc_core.errors import ConfigError
from svc_core.settings_loader import load_settings, read_arguments


class Node(Section):
    name: str
    port: int = 0


class Rotation(Section):
    period: Duration = timedelta(minutes=20)
    names: tuple[str, ...] = ()


class Sample(Section):
    profile: str
    home: Path = Path("/var")
    retries: int | None = None
    rotation: Rotation = Rotation()
    nodes: tuple[Node, ...] = ()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("profile: demo\n")
    return path


def load(file: Path, text: str | None = None, **environ: str) -> Sample:
    if text is not None:
        file.write_text(text)
    return load_settings(Sample, config_file=file, environ=environ)


def mistakes(file: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(file, text, **environ)
    return [line.replace(f"{file}:", "") for line in str(caught.value).splitlines()]


def test_a_file_gives_typed_settings(file: Path) -> None:
    settings = load(file, "profile: demo\nrotation: {period: PT5M}\nnodes: [{name: n1}]\n")

    assert settings.rotation.period == timedelta(minutes=5)
    assert settings.nodes == (Node(name="n1"),)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param({"ST_PROFILE": "testing"}, {"profile": "testing"}, id="a plain value"),
        pytest.param({"ST_RETRIES": "3"}, {"retries": 3}, id="a number"),
        pytest.param({"ST_CONFIG": "/elsewhere"}, {}, id="ST_CONFIG is no setting"),
        pytest.param({"PATH": "/bin", "STX": "1"}, {}, id="other programs' variables"),
    ],
)
def test_the_environment_overrides_the_file(
    file: Path, environ: Mapping[str, str], expected: Mapping[str, object]
) -> None:
    settings = load(file, **environ)

    assert settings == Sample.model_validate({"profile": "demo", **expected})


def test_the_environment_reaches_into_sections_and_keeps_their_neighbours(file: Path) -> None:
    settings = load(file, "profile: demo\nrotation: {names: [a]}\n", ST_ROTATION__PERIOD="30s")

    assert settings.rotation == Rotation(period=timedelta(seconds=30), names=("a",))


@pytest.mark.parametrize(
    ("written", "names"),
    [
        pytest.param("a, b", ("a", "b"), id="separated by commas"),
        pytest.param('["a", "b,c"]', ("a", "b,c"), id="as JSON"),
        pytest.param("", (), id="empty"),
    ],
)
def test_lists_in_the_environment(file: Path, written: str, names: tuple[str, ...]) -> None:
    assert load(file, ST_ROTATION__NAMES=written).rotation.names == names


def test_a_list_of_sections_in_the_environment_is_json(file: Path) -> None:
    assert load(file, ST_NODES='[{"name": "n1", "port": 4222}]').nodes == (
        Node(name="n1", port=4222),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "profil: demo\nprofile: x\n",
            "1:1: profil: unknown setting (did you mean profile?)",
            id="misspelt",
        ),
        pytest.param("profile: x\nzzzz: 1\n", "2:1: zzzz: unknown setting", id="nothing like it"),
        pytest.param("home: /\n", "1:1: profile: this setting is required", id="missing"),
        pytest.param(
            "profile: x\nrotation:\n  perod: 1s\n",
            "3:3: rotation.perod: unknown setting (did you mean period?)",
            id="misspelt in a section",
        ),
        pytest.param(
            "profile: x\nnodes:\n  - name: a\n    prot: 1\n",
            "4:5: nodes.0.prot: unknown setting (did you mean port?)",
            id="misspelt in a list",
        ),
        pytest.param(
            "profile: x\nrotation: {period: 5}\n",
            "2:12: rotation.period: write a duration with its unit, such as 20s, 15m or PT20M",
            id="a number without unit",
        ),
        pytest.param(
            "profile: x\nrotation: 5\n",
            "2:1: rotation: Input should be a valid dictionary or instance of Rotation",
            id="no section",
        ),
        pytest.param(
            "profile: x\nretries: many\n",
            "2:1: retries: Input should be a valid integer",
            id="wrong type",
        ),
    ],
)
def test_a_mistake_in_the_file_has_its_place(file: Path, text: str, message: str) -> None:
    (mistake,) = mistakes(file, text)

    assert mistake.startswith(message)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        pytest.param(
            "ST_PROFIL", "x", "ST_PROFIL: unknown setting (did you mean ST_PROFILE?)", id="misspelt"
        ),
        pytest.param(
            "ST_ROTATION_PERIOD",
            "1s",
            "ST_ROTATION_PERIOD: unknown setting (did you mean ST_ROTATION__PERIOD?)",
            id="one underscore",
        ),
        pytest.param(
            "ST_ROTATION",
            "1s",
            "ST_ROTATION: unknown setting (did you mean ST_ROTATION__NAMES?)",
            id="a whole section",
        ),
        pytest.param(
            "ST_RETRIES",
            "many",
            "ST_RETRIES: retries: Input should be a valid integer",
            id="wrong type",
        ),
        pytest.param(
            "ST_ROTATION__PERIOD",
            "5",
            "ST_ROTATION__PERIOD: rotation.period: '5' is no duration",
            id="no unit",
        ),
        pytest.param(
            "ST_NODES", "[oops", "ST_NODES: nodes: Input should be a valid tuple", id="broken JSON"
        ),
        pytest.param(
            "ST_NODES",
            '[{"name": "a", "prot": 1}]',
            "ST_NODES: nodes.0.prot: unknown setting (did you mean port?)",
            id="misspelt in JSON",
        ),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    file: Path, variable: str, value: str, message: str
) -> None:
    (mistake,) = mistakes(file, "profile: x\n", **{variable: value})

    assert mistake.startswith(f"environment: {message}")


def test_all_mistakes_are_reported_together(file: Path) -> None:
    found = mistakes(file, "retries: x\nnodes: [{}]\n", ST_OOPS="1", ST_ROTATION__PERIOD="1")

    assert [line.split(" ", 2)[:2] for line in found] == [
        ["environment:", "ST_OOPS:"],
        ["1:1:", "profile:"],
        ["1:1:", "retries:"],
        ["environment:", "ST_ROTATION__PERIOD:"],
        ["2:9:", "nodes.0.name:"],
    ]


def test_a_variable_into_what_is_no_section_leaves_the_files_mistake(file: Path) -> None:
    (mistake,) = mistakes(file, "profile: x\nrotation: 5\n", ST_ROTATION__PERIOD="1s")

    assert mistake.startswith("2:1: rotation: ")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        load_settings(Sample, config_file=tmp_path / "none.yaml", environ={})


@pytest.mark.parametrize(
    ("argv", "environ"),
    [
        pytest.param(["--config", "/a.yaml"], {}, id="by argument"),
        pytest.param([], {"ST_CONFIG": "/a.yaml"}, id="by environment"),
        pytest.param(["--config", "/a.yaml"], {"ST_CONFIG": "/b.yaml"}, id="the argument wins"),
    ],
)
def test_the_file_is_named(argv: list[str], environ: Mapping[str, str]) -> None:
    assert read_arguments(argv, "watcher", environ) == Path("/a.yaml")


def test_no_file_named_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read_arguments([], "watcher", {})

    assert caught.value.code == 2
    assert "st-watcher: error: no settings file: pass --config FILE" in capsys.readouterr().err
