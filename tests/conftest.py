"""Fixtures shared by the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: tests run beside each other on the same cores

import pytest
from hypothesis import settings

settings.register_profile("suite", deadline=None)  # how long an example takes says more about the machine than the code
settings.load_profile("suite")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real photographs, or a skip where it is not at hand (``HDR_SHARED_DATA`` names it)."""
    folder = Path(os.environ.get("HDR_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "MANIFEST.tsv").exists():
        pytest.skip(f"no real photographs at {folder} (set HDR_SHARED_DATA)")
    return folder
