"""On the path of a process under test: proofs take their time and are written down, in whatever process they are drawn.

PACKSHOT_TEST_SECONDS is the sleep before each; PACKSHOT_TEST_LOG gets a line "pid fingerprint" each.
"""

from __future__ import annotations

import os
import sys
import time
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from typing import Any


class _Slowed(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != "inference.proof":
            return None
        spec: Any = PathFinder.find_spec(name, path)
        load = spec.loader.exec_module

        def execute(module: Any) -> None:
            load(module)
            _slow(module.ProofEngine)

        spec.loader.exec_module = execute
        return spec


def _slow(engine: Any) -> None:
    from catalogs.identity import render_fingerprint

    log = os.open(os.environ["PACKSHOT_TEST_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    seconds, draw = float(os.environ["PACKSHOT_TEST_SECONDS"]), engine._render

    def render(self: Any, request: Any, batch_size: int) -> Any:
        os.write(log, f"{os.getpid()} {render_fingerprint(request)}\n".encode())
        time.sleep(seconds)
        return draw(self, request, batch_size)

    engine._render = render


if "PACKSHOT_TEST_LOG" in os.environ:
    sys.meta_path.insert(0, _Slowed())
