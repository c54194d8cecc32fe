"""On the path of a process under test: proofs take their time and are written down, in whatever process they are drawn.

PACKSHOT_TEST_SECONDS is the sleep before each; PACKSHOT_TEST_LOG gets a line "pid fingerprint" each, and a line
"pid loaded" for every diffusers engine that is built. A file of that name with .lose behind it makes the next proof
fail with its device, and a line "pid lost".
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
        change = _CHANGES.get(name)
        if change is None:
            return None
        spec: Any = PathFinder.find_spec(name, path)
        load = spec.loader.exec_module

        def execute(module: Any) -> None:
            load(module)
            change(module)

        spec.loader.exec_module = execute
        return spec


def _write(text: str) -> None:
    log = os.open(os.environ["PACKSHOT_TEST_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"{os.getpid()} {text}\n".encode())
    os.close(log)


def _lose_device() -> None:
    """Once, where somebody asked for it."""
    from catalogs.errors import DeviceError

    try:
        os.remove(os.environ["PACKSHOT_TEST_LOG"] + ".lose")
    except FileNotFoundError:
        return
    _write("lost")
    raise DeviceError("the device failed")


def _slow_proofs(module: Any) -> None:
    from catalogs.identity import render_fingerprint

    seconds, draw = float(os.environ["PACKSHOT_TEST_SECONDS"]), module.ProofEngine._render

    def render(self: Any, request: Any, batch_size: int) -> Any:
        _write(render_fingerprint(request))
        time.sleep(seconds)
        _lose_device()
        return draw(self, request, batch_size)

    module.ProofEngine._render = render


def _tell_of_loads(module: Any) -> None:
    build = module.DiffusersEngine.__init__

    def init(self: Any, *arguments: Any, **named: Any) -> None:
        _write("loaded")
        build(self, *arguments, **named)

    module.DiffusersEngine.__init__ = init


_CHANGES = {"inference.proofs.engine": _slow_proofs, "inference.local.engine": _tell_of_loads}

if "PACKSHOT_TEST_LOG" in os.environ:
    sys.meta_path.insert(0, _Slowed())
