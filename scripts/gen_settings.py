"""Write docs/reference/settings.md from the settings models and their fields' docstrings."""

import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from importlib import import_module
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from scripts.generated_page import ROOT, run
from svc_core.config import ServiceSettings

PAGE: Final = ROOT / "docs" / "reference" / "settings.md"
SERVICES: Final = ("metadata", "watcher", "gatekeeper", "authcontroller")
INTRODUCTION: Final = """\
# Settings

One YAML file per service (`--config FILE`, or `ST_CONFIG`), then `ST_…` environment variables,
which win. Unknown names, duplicate names and values without a unit are errors that say where they
are. Durations are written `250ms`, `20s`, `15m`, `3h`, `14d` or `PT20M`. Lists in the environment
are JSON or separated by commas. This page is generated from the models; `just generate` rewrites
it.
"""


def render() -> str:
    """Return the whole page."""
    parts = [INTRODUCTION, "\n## Every service\n", *_table(ServiceSettings, ServiceSettings)]
    for service in SERVICES:
        parts += [f"\n## {service}\n", *_table(_model(service), ServiceSettings, own=True)]
    return "\n".join(parts) + "\n"


def _model(service: str) -> type[BaseModel]:
    """Return the one settings model that ``services.<service>.config`` defines for its service."""
    module = import_module(f"services.{service}.config")
    models = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, ServiceSettings)
        and value.__module__ == module.__name__
    ]
    (model,) = models
    return model


def _table(model: type[BaseModel], base: type[BaseModel], *, own: bool = False) -> list[str]:
    names = set(base.model_fields) if own else set()
    rows = [row for row in _rows(model, ()) if row[0].strip("`").split(".")[0] not in names]
    if not rows:
        return ["Nothing of its own."]
    head = ["| setting | environment | default | meaning |", "|---|---|---|---|"]
    return head + [f"| {' | '.join(row)} |" for row in rows]


def _rows(model: type[BaseModel], above: tuple[str, ...]) -> Iterator[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        path = (*above, name)
        section = _section(field.annotation)
        if section is not None and not _is_collection(field.annotation):
            yield from _rows(section, path)
            continue
        yield (
            f"`{'.'.join(path)}`",
            f"`ST_{'__'.join(path).upper()}`",
            _default(field),
            _meaning(field),
        )
        if section is not None:
            for item in _rows(section, (*path, "[]")):
                yield (item[0].replace(".[]", "[]"), "", item[2], item[3])


def _section(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 (an annotation is anything)
    choices = (annotation, *get_args(annotation))
    return next((c for c in choices if isinstance(c, type) and issubclass(c, BaseModel)), None)


def _is_collection(annotation: Any) -> bool:  # noqa: ANN401 (an annotation is anything)
    return get_origin(annotation) in {tuple, list, dict, Mapping}


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ("", ()):
        return "none"
    if isinstance(value, timedelta):
        return f"`{_short(value)}`"
    if isinstance(value, tuple):
        return f"`{', '.join(map(str, value))}`"
    return f"`{value}`"


def _short(value: timedelta) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        if value.total_seconds() and value.total_seconds() % unit == 0:
            return f"{int(value.total_seconds() // unit)}{name}"
    return f"{value // timedelta(milliseconds=1)}ms"


def _meaning(field: FieldInfo) -> str:
    text = " ".join((field.description or "").split())
    return text.replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(run(PAGE, render, __doc__))
