"""From one YAML file and the ``ST_…`` environment to settings, or to a list of every mistake.

Mistakes say where they are (``file:line:column: path: what is wrong``) and, for a name that does
not exist, which one was probably meant. The environment overrides the file: ``ST_PROFILE=demo``,
``ST_NATS__ACK_TIMEOUT=2s``; lists are written as JSON or separated by commas. What the values mean
is the models' business, not this module's. Paths are taken as they are written.
"""

import argparse
import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, get_args, get_origin

import msgspec
from pydantic import BaseModel, ValidationError

from svc_core.errors import ConfigError
from svc_core.placed_yaml import PlacedYaml, read_placed_yaml

_PREFIX: Final = "ST_"
_FILE_VARIABLE: Final = "ST_CONFIG"
_NESTING: Final = "__"

T = TypeVar("T", bound=BaseModel)
Location = tuple[int | str, ...]


def read_arguments(
    argv: Sequence[str], service: str, environ: Mapping[str, str] = os.environ
) -> Path:
    """Return the settings file that the command line (``--config``) or ``ST_CONFIG`` names.

    Args:
        argv: without the program's name.

    Raises:
        SystemExit: ``--help`` (code 0), or arguments that make no sense (code 2).
    """
    parser = argparse.ArgumentParser(
        prog=f"st-{service}",
        description=f"Run the {service} service until SIGTERM or SIGINT.",
        epilog="Exit codes: 0 stopped, 1 failed, 2 cannot start as configured.",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=Path(environ[_FILE_VARIABLE]) if environ.get(_FILE_VARIABLE) else None,
        help=f"settings, YAML; may also be named by {_FILE_VARIABLE}",
    )
    chosen: Path | None = parser.parse_args(argv).config
    if chosen is None:
        parser.error(f"no settings file: pass --config FILE or set {_FILE_VARIABLE}")
    return chosen


def load_settings(model: type[T], *, config_file: Path, environ: Mapping[str, str]) -> T:
    """Return the settings in ``config_file``, overridden by ``environ``.

    Raises:
        ConfigError: the file cannot be read or is no YAML, or settings are wrong; its text has
            one line for each mistake.
    """
    document = read_placed_yaml(config_file)
    overrides, mistakes = _environment(model, environ)
    data = document.data
    for path, (_, value) in overrides.items():
        _put(data, path, value)
    try:
        settings = model.model_validate(data)
    except ValidationError as err:
        origin = {path: variable for path, (variable, _) in overrides.items()}
        mistakes += [_explain(model, document, origin, error) for error in err.errors()]
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return settings


def _environment(
    model: type[BaseModel], environ: Mapping[str, str]
) -> tuple[dict[tuple[str, ...], tuple[str, object]], list[str]]:
    """Return ``{field path: (variable, value)}`` and what is wrong with the variables' names."""
    known = {_variable(path): (path, kind) for path, kind in _leaves(model)}
    found: dict[tuple[str, ...], tuple[str, object]] = {}
    mistakes = []
    for variable in sorted(environ):
        if not variable.startswith(_PREFIX) or variable == _FILE_VARIABLE:
            continue
        if variable not in known:
            mistakes.append(f"environment: {variable}: unknown setting{_meant(variable, known)}")
            continue
        path, kind = known[variable]
        found[path] = (variable, _parsed(environ[variable], kind))
    return found, mistakes


def _variable(path: tuple[str, ...]) -> str:
    return _PREFIX + _NESTING.join(path).upper()


def _leaves(
    model: type[BaseModel], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, field in model.model_fields.items():
        section = _section(field.annotation)
        if section is not None:
            yield from _leaves(section, (*above, name))
        else:
            yield (*above, name), field.annotation


def _section(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 (an annotation is anything)
    """Return the model that ``annotation`` (perhaps ``… | None``) stands for, if it does."""
    for choice in (annotation, *get_args(annotation)):
        if isinstance(choice, type) and issubclass(choice, BaseModel):
            return None if _is_collection(annotation) else choice
    return None


def _is_collection(annotation: Any) -> bool:  # noqa: ANN401 (an annotation is anything)
    return get_origin(annotation) in {tuple, list, set, frozenset, dict, Mapping, Sequence}


def _parsed(text: str, annotation: Any) -> object:  # noqa: ANN401 (an annotation is anything)
    if not _is_collection(annotation):
        return text
    if text.lstrip().startswith(("[", "{")):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text  # the model says that this is no list, with its place
    return [part.strip() for part in text.split(",") if part.strip()]


def _put(data: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for part in path[:-1]:
        inner = data.setdefault(part, {})
        if not isinstance(inner, dict):
            return  # the file has something else there, and the model will say so
        data = inner
    data[path[-1]] = value


def _explain(
    model: type[BaseModel],
    document: PlacedYaml,
    origin: Mapping[tuple[str, ...], str],
    error: Mapping[str, Any],
) -> str:
    location: Location = error["loc"]
    path = ".".join(str(part) for part in location)
    variable = next((v for p, v in origin.items() if location[: len(p)] == p), None)
    place = f"environment: {variable}" if variable else document.place(location)
    return (
        f"{place}: {path}: {_wrong(model, error)}" if path else f"{place}: {_wrong(model, error)}"
    )


def _wrong(model: type[BaseModel], error: Mapping[str, Any]) -> str:
    location: Location = error["loc"]
    if error["type"] == "extra_forbidden":
        return f"unknown setting{_meant(str(location[-1]), _names_beside(model, location))}"
    if error["type"] == "missing":
        return "this setting is required"
    return str(error["msg"]).removeprefix("Value error, ")


def _names_beside(model: type[BaseModel], location: Location) -> Iterable[str]:
    """Return the legal names at the place where ``location`` has an unknown one."""
    current: type[BaseModel] | None = model
    for part in location[:-1]:
        if isinstance(part, int) or current is None:
            continue
        field = current.model_fields.get(part)
        current = _element(field.annotation) if field is not None else None
    return current.model_fields if current is not None else ()


def _element(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 (an annotation is anything)
    choices = (annotation, *get_args(annotation))
    return next((c for c in choices if isinstance(c, type) and issubclass(c, BaseModel)), None)


def _meant(name: str, choices: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""
