"""Tests of the deployment: they need Docker and the built image. ``scripts/test-deploy`` runs them, nothing else."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/deploy" in item.path.as_posix():
            item.add_marker(pytest.mark.deploy)
