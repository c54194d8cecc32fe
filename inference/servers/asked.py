"""Servers asked once, at plan time and by `packshot models --check`: what they serve, and whether they agree."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from catalogs.errors import EngineError
from inference.remote.key import Key
from inference.servers.client import BadKey, Busy, Client, ServerTrouble
from inference.servers.served import Served
from inference.servers.verdicts import Verdicts, judge

SECONDS = 3.0
"""For which a server that does not answer is tried again."""
WARM_UP = 180.0
"""For which one that says that it is not ready is."""


@dataclass(frozen=True)
class Told:
    """What servers said.

    Attributes:
        served: by address, of those that answered.
        silent: why, by address, of the others.
        loras: names that every one of them lists, asked where it matters.
    """

    served: dict[str, Served]
    silent: dict[str, str]
    loras: frozenset[str] = frozenset()


def ask_servers(addresses: Sequence[str], key: Key | None, with_loras: bool = False) -> Told:
    """What each serves.

    Raises:
        EngineError: not one answers.
    """
    told = asyncio.run(_ask(addresses, key, with_loras))
    if not told.served:
        raise EngineError("no server answers: " + "; ".join(f"{name}: {why}" for name, why in told.silent.items()))
    return told


async def _ask(addresses: Sequence[str], key: Key | None, with_loras: bool) -> Told:
    clients = [Client(address, key) for address in addresses]
    try:
        answers = await asyncio.gather(*map(_served, clients))
        by_address = {client.base: answer for client, answer in zip(clients, answers, strict=True)}
        told = Told(
            {name: answer for name, answer in by_address.items() if isinstance(answer, Served)},
            {name: answer for name, answer in by_address.items() if isinstance(answer, str)},
        )
        if not with_loras or not told.served:
            return told
        lists = await asyncio.gather(*(client.loras() for client in clients if client.base in told.served))
        return Told(told.served, told.silent, frozenset.intersection(*lists))
    except ServerTrouble as error:
        raise EngineError(f"a server does not list its LoRA files: {error}") from None
    finally:
        for client in clients:
            await client.close()


async def _served(client: Client) -> Served | str:
    began = time.monotonic()
    while True:
        try:
            return await client.served()
        except BadKey as error:
            return str(error)
        except ServerTrouble as error:
            patience = WARM_UP if isinstance(error, Busy) else SECONDS
            if time.monotonic() - began > patience:
                return str(error)
        await asyncio.sleep(0.5)


@dataclass(frozen=True)
class Usual:
    """What a server is asked for when it is tested.

    Attributes:
        many: whether its model takes two references.
    """

    steps: int
    guidance: float | None
    many: bool


def try_server(address: str, key: Key | None, usual: Callable[[Served], Usual]) -> tuple[Served, Verdicts]:
    """What a server serves, and what it does of what it is asked.

    Args:
        usual: of what it serves.

    Raises:
        EngineError: it does not answer.
    """
    return asyncio.run(_try(address, key, usual))


async def _try(address: str, key: Key | None, usual: Callable[[Served], Usual]) -> tuple[Served, Verdicts]:
    client = Client(address, key)
    try:
        served = await _served(client)
        if isinstance(served, str):
            raise EngineError(f"{address}: {served}")
        asked = usual(served)
        return served, await judge(client, served, served.models[0], asked.steps, asked.guidance, asked.many)
    except ServerTrouble as error:
        raise EngineError(f"{address}: {error}") from None
    finally:
        await client.close()
