"""Options that several commands have, so that they are called and explained the same everywhere."""

from pathlib import Path
from typing import Annotated, Final

import typer

VAR: Final = Path("var")
"""Where a stack is unless it is said."""

Var = Annotated[
    Path, typer.Option("--var", help="Directory of the stack: data, logs, keys.", metavar="DIR")
]
Url = Annotated[str, typer.Option(help="https://host:port of an OpenBao that somebody else runs.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]

BesideTables = Annotated[
    bool, typer.Option("--json", help="Print JSON on standard output, the table beside it.")
]
