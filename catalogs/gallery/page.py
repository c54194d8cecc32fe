"""The gallery's one page: its style, its script and its policy in one file, and data that cannot act."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

_UNSAFE = str.maketrans({mark: f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"})
# In this order every `const` is defined before code that runs at once uses it.
_ORDER = "dom data words view address filters category grid review takes details dialog left_out messages start"
_SCRIPTS = _ORDER.split()
_STYLES = ("page", "takes", "category", "review")


def script_json(value: Any) -> str:
    """Compact ASCII JSON that is also a JavaScript literal and cannot end a <script>."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(_UNSAFE)


def index_page(facts: Mapping[str, Any]) -> str:
    """index.html: the template with its style, its script and what it knows."""
    style, script = "\n".join(_asset(f"{name}.css") for name in _STYLES), _script()
    # 'strict-dynamic': the one script known by its hash may load data files, nothing else runs. 'self' and
    # file: are for browsers that do not know it; a file:// address is of no origin, so 'self' is not enough.
    policy = (
        f"default-src 'none'; script-src '{source_hash(script)}' 'strict-dynamic' 'self' file:; "
        f"style-src '{source_hash(style)}'; img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
    )
    filling = {
        "policy": policy,
        "title": html.escape(f"{facts['title']} - packshot report"),
        "style": style,
        "script": script,
        "report": script_json(facts),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: filling[found[1]], _asset("page.html"))


def _script() -> str:
    # One function around all files: they share their names with each other and with nothing outside of it,
    # and the policy needs one hash only.
    joined = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{joined}}})();\n'


def _asset(name: str) -> str:
    return files("catalogs.gallery").joinpath(name).read_text("utf-8")


def source_hash(source: str) -> str:
    """Names a script or a style in a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
