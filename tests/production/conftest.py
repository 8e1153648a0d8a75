"""A clean Debian and the package that goes into it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.production.debian import ROOT, Debian, make

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the Debian package, just built."""
    built = ROOT / make("deb")
    copy = tmp_path_factory.mktemp("package") / built.name
    shutil.copy(built, copy)
    return copy


@pytest.fixture
def debian(tmp_path: Path, root: None) -> Iterator[Debian]:
    """Give a clean Debian 12."""
    tree = Debian(tmp_path)
    yield tree
    tree.close()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, package: Path) -> Iterator[Debian]:
    """Give a clean Debian 12 with the package."""
    tree = Debian(tmp_path_factory.mktemp("installed"))
    shutil.copy(package, tree.root / "root" / "new.deb")
    tree.apt("install", "/root/new.deb")
    yield tree
    tree.close()
