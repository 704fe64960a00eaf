"""Fixtures of several unit tests."""

from __future__ import annotations

import sys

import pytest

from fusepot import huge_pages
from fusepot.cli import main


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run a command in this process, in an empty folder; gives exit code, stdout and stderr."""
    monkeypatch.setenv(huge_pages.RESTARTED, "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fusepot", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        code = caught.value.code
        captured = capsys.readouterr()
        return int(code or 0), captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Trainings, each done once: see ``trainings.each_once``."""
    from trainings import each_once

    return each_once(tmp_path_factory)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Undisturbed trainings at two temperatures, each done once."""
    from trainings import TWO_POINTS, each_once

    return each_once(tmp_path_factory, usual=TWO_POINTS)
