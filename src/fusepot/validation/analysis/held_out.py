"""The test set of a potential: the part of its data that its training and the choice of its epoch have not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fusepot.data import Dataset, load_dataset
from fusepot.errors import InputError
from fusepot.training.config import parse_config
from fusepot.training.dft import split_of


class HeldOut(NamedTuple):
    """Labelled structures, and what to call them."""

    dataset: Dataset
    title: str


def held_out(origins: Sequence[Mapping[str, Any]], *, remedy: str) -> HeldOut:
    """The test set that a potential was trained beside, split off again as its provenance says.

    Args:
        origins: provenance of each member (``fusepot.committee.provenances``); they must share data and split.
        remedy: how to name other data, for messages.

    Raises:
        InputError: the provenance names no data, they have changed, or no test set was split off.
    """
    training = training_of(origins, remedy=remedy)
    config = parse_config(training["config"])
    dataset = load_dataset(config.data.path)
    if dataset.sha256 != training["data"]["sha256"]:
        raise InputError(
            "data",
            got=f"{config.data.path}, which has changed since the training",
            expected="the file of the training",
            remedy=remedy,
        )
    test = dataset.select(split_of(config, dataset).test)
    if not len(test):
        raise InputError("data", got="an empty test set", expected="labelled structures", remedy=remedy)
    return HeldOut(test, f"test set of {config.data.path}")


def training_of(origins: Sequence[Mapping[str, Any]], *, remedy: str) -> Mapping[str, Any]:
    """The record of the training in the provenance of a potential; of a committee, that of the first member.

    Raises:
        InputError: it says nothing about a training, or members were trained on other data or with another split.
    """
    first, *others = origins
    if not ("config" in first and "data" in first):
        raise InputError(
            "data", got="nothing", expected="labelled structures: the file does not name its own", remedy=remedy
        )
    if any(_data_of(other) != _data_of(first) for other in others):
        raise InputError(
            "data",
            got="nothing",
            expected="labelled structures: the members were trained on different data",
            remedy=remedy,
        )
    return first


def _data_of(provenance: Mapping[str, Any]) -> tuple[Any, ...]:
    """What decides the test set: content of the data and how it is split, wherever the file was."""
    section = dict(provenance.get("config", {}).get("data", {}))
    section.pop("path", None)
    return section, provenance.get("data", {}).get("sha256")
