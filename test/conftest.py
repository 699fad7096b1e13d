# SPDX-License-Identifier: Apache-2.0
"""What holds for every test."""

import pytest


@pytest.fixture(autouse=True)
def folder_of_its_own(tmp_path_factory, monkeypatch):
    """Work in an empty folder: no test touches the folder that it was called in."""
    monkeypatch.chdir(tmp_path_factory.mktemp('here'))
