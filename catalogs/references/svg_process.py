"""Draws one SVG: read from standard input, as a PNG to standard output. Started by `catalogs.references.svg` alone.

What it draws may be hostile: it ends when it takes too much time or memory, and takes nothing with it.
"""

from __future__ import annotations

import resource
import sys

SECONDS = 20
MEMORY = 3 * 2**30


def main() -> None:
    """Width in pixels is the one argument."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import resvg_py

    drawing = sys.stdin.buffer.read().decode("utf-8-sig")
    try:
        picture = resvg_py.svg_to_bytes(svg_string=drawing, width=int(sys.argv[1]), skip_system_fonts=True)
    except BaseException as error:  # Rust's panics are no Exception
        print(" ".join(str(error).split()) or type(error).__name__, file=sys.stderr)
        sys.exit(1)
    sys.stdout.buffer.write(picture)


if __name__ == "__main__":
    main()
