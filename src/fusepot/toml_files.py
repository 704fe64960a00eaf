"""Files that people write: TOML in, typed and frozen sections out. An unknown key is an error that names the nearest.

An error's ``argument`` is the key's place, ``loss.energy`` or ``targets[0].unit`` (counted from 0).
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from fusepot.errors import ConfigError

S = TypeVar("S", bound=BaseModel)


class Section(BaseModel):
    """A table of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def kind_of(cls, key: str, content: Mapping[str, Any]) -> Any:
        """Type of a key's value. To be overridden where it depends on other keys of the table, ``content``."""
        return cls.model_fields[key].annotation


def read_toml(path: str | Path, *, argument: str = "config") -> dict[str, Any]:
    """The content of a TOML file; ``argument`` names the file's role in messages.

    Raises:
        ConfigError: no such file, or no TOML.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(argument, got=str(path), expected="an existing TOML file")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), got=f"a file that is no TOML ({error})", expected="TOML") from error


def with_changes(content: Mapping[str, Any], changes: Sequence[str], *, argument: str = "--set") -> dict[str, Any]:
    """A file's content with some keys set to something else.

    Args:
        content: as ``read_toml`` gives it; left as it is.
        changes: lines of TOML with dotted keys, ``experiment.temperatures_K = [323]``; the last one of a key counts.
        argument: where they come from, in messages.

    Raises:
        ConfigError: a change is no TOML.
    """
    result = dict(content)
    for change in changes:
        try:
            result = _merged(result, tomllib.loads(change))
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(
                argument,
                got=f"{change!r} ({error})",
                expected="KEY=VALUE in TOML, such as experiment.temperatures_K=[323]",
                remedy="Text needs quotation marks that the shell leaves: --set 'strategy=\"dft\"'.",
            ) from error
    return result


def _merged(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(content)
    for key, value in changes.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def parse_section(content: Mapping[str, Any], section: type[S], *, prefix: str = "") -> S:
    """Check the content of a file, or of a part of it.

    A validator of a section says what would have been right: ``raise ValueError("one weight above zero")``.

    Args:
        content: as ``read_toml`` gives it.
        section: what it should be.
        prefix: begins the place of a key in messages, ``"FILE: "``.

    Raises:
        ConfigError: an unknown key (names the nearest known one) or an unusable value.
    """
    _refuse_unknown(content, section, prefix)
    try:
        return section.model_validate(content)
    except ValidationError as error:
        # Of a union (a name or a table) every member complains; the one that got furthest was meant.
        first = max(error.errors(), key=lambda e: len(e["loc"]))
        missing = first["type"] == "missing"
        where = prefix + _place(first["loc"], content, missing=missing)
        if missing:
            raise ConfigError(where, got="nothing", expected="a value", remedy="Add this key.") from error
        message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        raise ConfigError(where.removesuffix(": "), got=repr(first["input"]), expected=message) from error


def _refuse_unknown(content: Mapping[str, Any], section: type[BaseModel], prefix: str) -> None:
    """Walk the tables of a file and compare every key with the fields of its section."""
    for key, value in content.items():
        place = f"{prefix}{key}"
        if key not in section.model_fields:
            near = difflib.get_close_matches(key, section.model_fields, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]!r}?" if near else ""
            known = f"one of {', '.join(section.model_fields)}"
            raise ConfigError(place, got="an unknown key", expected=known, remedy=hint)
        kind = section.kind_of(key, content) if issubclass(section, Section) else section.model_fields[key].annotation
        tables = _sections_in(kind)
        if not tables:
            continue
        if get_origin(kind) is tuple:
            if not isinstance(value, list | tuple) or not all(isinstance(table, Mapping) for table in value):
                raise ConfigError(place, got=repr(value), expected=f"tables [[{key}]]")
            for index, table in enumerate(value):
                _refuse_unknown(table, tables[0], f"{place}[{index}].")
        elif isinstance(value, Mapping):
            _refuse_unknown(value, tables[0], f"{place}.")
        elif value is not None and set(_members(kind)) <= {*tables, type(None)}:
            raise ConfigError(place, got=repr(value), expected=f"a table [{key}]")


def _members(kind: Any) -> Sequence[Any]:
    """What a union is made of; of any other type, itself."""
    return (kind,) if isinstance(kind, type) else get_args(kind)


def _sections_in(kind: Any) -> list[type[BaseModel]]:
    """The sections among a union's members, or a tuple's."""
    return [part for part in _members(kind) if isinstance(part, type) and issubclass(part, BaseModel)]


def _place(location: Sequence[int | str], content: Any, *, missing: bool) -> str:
    """Where pydantic's location lies in the file; it holds names of types besides keys."""
    place = ""
    for depth, part in enumerate(location):
        if isinstance(part, int) and isinstance(content, Sequence):
            place, content = f"{place}[{part}]", content[part]
        elif isinstance(content, Mapping):
            if part not in content:
                # A validator that reads a table by itself leaves the table's name out.
                owners = [key for key, value in content.items() if isinstance(value, Mapping) and part in value]
                if len(owners) == 1:
                    place, content = f"{place}.{owners[0]}", content[owners[0]]
                elif not (missing and depth == len(location) - 1):
                    continue
            place, content = f"{place}.{part}", content.get(part)
    return place.removeprefix(".")
