"""Hooks of the site's build."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError

HOOKS = Path(__file__).parents[2] / "docs" / "site" / "hooks.py"


def test_linked_page_that_is_not_listed_is_refused() -> None:
    spec = importlib.util.spec_from_file_location("hooks", HOOKS)
    assert spec is not None
    assert spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    with pytest.raises(PluginError, match=r"links to models/new\.md, which is not listed in PAGES"):
        hooks.linked_file(MkDocsConfig(), "models/new.md")
