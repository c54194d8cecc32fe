"""The real command line, writing down what it does: python watched.py LOG SECONDS COMMAND...

LOG gets a line "moment enter|leave what [fingerprint]" for every plan, commit, look (verify), sweep, render and stored
master; each is one write, so that a SIGKILL leaves whole lines and the last one tells where it struck. SECONDS is the
sleep before each proof. Nothing else is changed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

LOG, SECONDS = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), float(sys.argv[2])


def write(*words: str) -> None:
    os.write(LOG, (" ".join((f"{time.monotonic():.6f}", *words)) + "\n").encode())


def watch(module: Any, name: str, what: str, fingerprint: Callable[..., str] = lambda *_, **__: "") -> None:
    real = getattr(module, name)

    def watched(*arguments: Any, **named: Any) -> Any:
        about = fingerprint(*arguments, **named)
        write("enter", what, about)
        try:
            if what == "render":
                time.sleep(SECONDS)
            return real(*arguments, **named)
        finally:
            write("leave", what, about)

    setattr(module, name, watched)


def watch_all(command: str) -> None:
    import catalogs.assets.commits
    import tasks.leftovers
    import tasks.verify

    watch(catalogs.assets.commits, "commit", "commit")
    watch(tasks.leftovers, "find_leftovers", "sweep")
    watch(tasks.leftovers, "delete_leftovers", "sweep")
    watch(tasks.verify, "verify", "verify")
    if command != "render":
        return
    import inference.proofs.engine
    import tasks.before_render
    import tasks.delivery
    import tasks.prepare
    from catalogs.identity import render_fingerprint

    watch(tasks.before_render, "verify_recent", "verify")
    watch(tasks.prepare, "make_plan", "plan")
    watch(tasks.delivery, "store_master", "store", lambda store, fingerprint, *_: str(fingerprint))
    engine = inference.proofs.engine.ProofEngine
    watch(engine, "_render", "render", lambda engine, request, size: render_fingerprint(request))


if __name__ == "__main__":
    del sys.argv[1:3]
    watch_all(sys.argv[1])
    from flows.cli import main

    main()
