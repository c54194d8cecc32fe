"""Told to end: what every loop of a run looks at."""

from __future__ import annotations

import threading

# Set to end a run early: shards stop between batches and commit what they have.
stopping = threading.Event()

# Set beside it when a person ended the run; `stopping` alone may also be the end of the money.
cancelled = threading.Event()
