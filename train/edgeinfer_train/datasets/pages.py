"""Rendering of self-contained HTML pages: templates, and what keeps names of others from becoming markup."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Any

from edgeinfer.errors import CapabilityError
from edgeinfer.report.page import safe_json


def environment(package: str) -> Any:
    """Return a Jinja2 environment for the templates of a package, which escapes all values.

    Raises:
        CapabilityError: Jinja2 is not installed.
    """
    try:
        import jinja2  # noqa: PLC0415 - slow import
    except ImportError as error:
        raise CapabilityError("a page needs jinja2; install it with: pip install 'edgeinfer[train]'") from error
    loader = jinja2.FunctionLoader(lambda name: template_text(package, name))
    created = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    created.filters["number"] = "{:,}".format
    return created


@cache
def template_text(package: str, name: str) -> Any:
    """Return a file of a package's folder `templates`, not to be escaped in a template."""
    import markupsafe  # noqa: PLC0415 - part of Jinja2

    text = resources.files(package).joinpath("templates", name).read_text(encoding="utf-8")
    return markupsafe.Markup(text)  # noqa: S704 - a file of this project


def data_script(value: Any) -> Any:
    """Return a value as JSON for a script element; no text in it can end the element."""
    import markupsafe  # noqa: PLC0415 - part of Jinja2

    return markupsafe.Markup(safe_json(value))  # noqa: S704 - escaped


def content_policy(css: str, script: str = "") -> str:
    """Return a Content-Security-Policy: nothing is loaded, and only these texts apply."""
    style, code = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, script))
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{code}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
