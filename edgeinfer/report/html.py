"""Parts of self-contained HTML pages: templates, embedded data, and the policy that lets a page load nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from edgeinfer.errors import CapabilityError

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def create_environment(package: str, *, extra: str = "report") -> Environment:
    """Return a Jinja2 environment for the templates of a package, which escapes all values.

    Args:
        package: Name of the package with the folder `templates`.
        extra: Extra of edgeinfer that installs Jinja2, for the message.

    Raises:
        CapabilityError: Jinja2 is not installed.
    """
    try:
        import jinja2  # noqa: PLC0415 - optional
    except ImportError as error:
        raise CapabilityError(f"A page needs jinja2; install it with: pip install 'edgeinfer[{extra}]'") from error
    loader = jinja2.FunctionLoader(lambda name: template_text(package, name))
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["number"] = "{:,}".format
    return environment


@cache
def template_text(package: str, name: str) -> Markup:
    """Return a file of a package's folder `templates` as markup, which a template does not escape."""
    import markupsafe  # noqa: PLC0415 - part of Jinja2

    text = resources.files(package).joinpath("templates", name).read_text(encoding="utf-8")
    return markupsafe.Markup(text)  # noqa: S704 - a file of this project


def data_script(value: Any) -> Markup:
    """Return a value as JSON for a script element, see `safe_json`, as markup."""
    import markupsafe  # noqa: PLC0415 - part of Jinja2

    return markupsafe.Markup(safe_json(value))  # noqa: S704 - escaped


def safe_json(value: Any) -> str:
    r"""Return JSON that can be embedded in a script element: no character can end it or start a comment.

    >>> safe_json(["</script>", "\u2028"])
    '["\\u003c/script\\u003e","\\u2028"]'
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def content_policy(css: str, script: str = "") -> str:
    """Return a Content-Security-Policy: nothing is loaded, and only these texts apply."""
    style, code = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, script))
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{code}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def data_uri(media_type: str, content: bytes) -> str:
    """Return content as a URI that a page can embed.

    >>> data_uri("image/png", b"PNG")
    'data:image/png;base64,UE5H'
    """
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
