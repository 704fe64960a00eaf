"""``fusepot keys``: every key of the files that people write, as commented TOML made from the code that reads them."""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fusepot.cli.output import out

COLUMN = 34  # where comments begin
WORDS = {str: "text", float: "number", int: "integer", bool: "true or false"}
HYPER_PARAMETERS = "model.settings"  # depend on the architecture
BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


class Kind(StrEnum):
    """Which file."""

    train = "train"
    experiment = "experiment"
    validation = "validation"


def keys(
    kind: Annotated[Kind, typer.Argument(help="The file of `fusepot train`, its experiment, or a validation.")],
) -> None:
    """Print every key of a kind of file, with its default and its meaning, as a commented TOML file."""
    lines = list(reference(_section_of(kind)))
    if kind is Kind.train:
        from fusepot.models import ARCHITECTURES

        for name, architecture in ARCHITECTURES.items():
            lines += ["", f'# With architecture = "{name}":', *reference(architecture.config, place=HYPER_PARAMETERS)]
    out.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _section_of(kind: Kind) -> type[BaseModel]:
    if kind is Kind.train:
        from fusepot.training.config import TrainConfig

        return TrainConfig
    if kind is Kind.experiment:
        from fusepot.data.targets import ExperimentFile

        return ExperimentFile
    from fusepot.validation.plan import ValidationSection

    return ValidationSection


def reference(section: type[BaseModel], *, place: str = "", many: bool = False) -> Iterator[str]:
    """The lines of a table and of the tables in it.

    Args:
        section: the type that the table is read as.
        place: of the table, ``experiment.sampling``; "" for the whole file.
        many: whether it may occur several times, ``[[lattice]]``.
    """
    if place:
        yield ""
        yield f"[[{place}]]" if many else f"[{place}]"
    text = re.sub(r"^``\[+[\w.]+\]+``: ", "", inspect.getdoc(section) or "").replace("``", "`")
    yield from (f"# {line}".rstrip() for line in (text[:1].upper() + text[1:]).splitlines())
    yield from _plain_keys(section)
    for name, field in section.model_fields.items():
        for table in _tables(field.annotation):
            inner = f"{place}.{name}".removeprefix(".")
            if inner != HYPER_PARAMETERS:
                yield from reference(table, place=inner, many=get_origin(field.annotation) is tuple)


def _plain_keys(section: type[BaseModel]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        words = _words(field.annotation)
        if not words:
            continue
        if field.is_required():
            start, about = f"{name} = ...", [f"required: {words}"]
        elif field.get_default(call_default_factory=True) is None:
            start, about = f"# {name} = ...", [words]
        else:
            start, about = f"{name} = {json.dumps(field.get_default(call_default_factory=True))}", [words]
        about += [bounds] if (bounds := _bounds(field)) else []
        yield f"{start:<{COLUMN}}# {' '.join(about)}{'; ' + field.description if field.description else ''}"


def _members(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) is Annotated:
        return _members(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(inner for part in get_args(kind) for inner in _members(part) if inner is not type(None))
    return (kind,)


def _tables(kind: Any) -> Iterator[type[BaseModel]]:
    for part in _members(kind):
        inner = get_args(part)[0] if get_origin(part) is tuple else part
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield inner


def _words(kind: Any) -> str:
    """A key's type in words; "" for a table."""
    return " or ".join(filter(None, (_word(part) for part in _members(kind))))


def _word(part: Any) -> str:
    if part in WORDS:
        return WORDS[part]
    arguments = get_args(part)
    if get_origin(part) is Literal:
        return " or ".join(json.dumps(choice) for choice in arguments)
    if get_origin(part) is tuple and (inner := _words(arguments[0])):
        return f"list of {inner}" if Ellipsis in arguments else f"{len(arguments)} times {inner}"
    if get_origin(part) is dict:
        return f"a table of names, each with a {_words(arguments[1])}"
    return ""


def _bounds(field: FieldInfo) -> str:
    limits = [
        (word, getattr(one, name)) for one in field.metadata for name, word in BOUNDS.items() if hasattr(one, name)
    ]
    return " and ".join(f"{word} {limit:g}" for word, limit in limits)
