from __future__ import annotations

from tests.prefect_servers import prefect_server

__all__ = ["prefect_server"]
