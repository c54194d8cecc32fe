"""Arguments and options that several commands take."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
CAMPAIGN = click.argument("campaign", type=click.Path())
JSON = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


class Finite(click.FloatRange):
    """click itself lets nan through every range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        return number if math.isfinite(number) else self.fail(f"{value} is no finite number", param, ctx)


def named(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A file's name, which is not empty."""
    if value is not None and not value.strip():
        raise click.BadParameter("is empty; name a file", ctx, param)
    return value


def planning_options(command: Command) -> Command:
    """The options that say what of a campaign to plan."""

    @click.option("--only", multiple=True, metavar="ID", help="Plan this product alone; may be repeated.")
    @click.option("--limit", type=click.IntRange(1), help="Plan only the first looks, so many.")
    @click.option("--retry-failed", is_flag=True, help="Try final failures again.")
    @click.option("--resubmit", is_flag=True, help="Pay again for what may have been billed, or was paid and lost.")
    @click.option("--accept-price", is_flag=True, help="Buy on at other prices than the published ones.")
    @click.option("--strict", is_flag=True, help="Stop at a bad catalog row instead of leaving it out.")
    @wraps(command)
    def wrapped(**options: Any) -> Any:
        return command(**options)

    return wrapped  # type: ignore[return-value]


def engine_options(command: Command) -> Command:
    """The options that say how a local engine uses its machine; gathered into `engine`."""

    @click.option(
        "--memory",
        type=click.Choice(["auto", "resident", "two-phase", "offload"]),
        help="Keep all parts on the GPU, or stream some of them; auto takes the first that fits.",
    )
    @click.option("--compile/--no-compile", default=None, help="Compile the model. Left out: on a GPU, where it pays.")
    @click.option("--attention", metavar="BACKEND", help="An attention backend of diffusers, e.g. _native_cudnn.")
    @click.option("--decoder", type=click.Choice(["auto", "stock", "folded"]), help="How the VAE decodes.")
    @wraps(command)
    def wrapped(**options: Any) -> Any:
        names = ("memory", "compile", "attention", "decoder")
        chosen = {name: value for name in names if (value := options.pop(name)) is not None}
        if "compile" in chosen:
            chosen["compile"] = "on" if chosen["compile"] else "off"
        return command(**options, engine=chosen or None)

    return wrapped  # type: ignore[return-value]


def metrics_options(command: Command) -> Command:
    """Where the numbers for Prometheus are shown; the environment says it for containers."""

    @click.option(
        "--metrics-port",
        type=click.IntRange(1, 65535),
        envvar="PACKSHOT_METRICS_PORT",
        show_envvar=True,
        help="Show numbers for Prometheus at /metrics of this port; not when left out.",
    )
    @click.option(
        "--metrics-host",
        default="127.0.0.1",
        show_default=True,
        envvar="PACKSHOT_METRICS_HOST",
        show_envvar=True,
        help="The address for that; nobody is asked for a password there.",
    )
    @wraps(command)
    def wrapped(**options: Any) -> Any:
        return command(**options)

    return wrapped  # type: ignore[return-value]
