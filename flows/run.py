"""`packshot render`: plan first, and start Prefect only when there is something to do."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from catalogs.campaigns.campaign import load_campaign
from catalogs.errors import OptionError, PackshotError, StoppedError
from catalogs.journal.lease import refuse_if_held
from catalogs.money import micro, shown
from catalogs.plans.file import PlanFile
from catalogs.storage.store import Store
from flows.cli_output import cost_lines, left_out_line
from flows.runners import check_runner
from inference.local.checkpoints import check_attention, check_attention_here
from tasks.before_render import prepare_render, withdrawing_all_the_same
from tasks.credentials import check_signing
from tasks.engines import check_device, choose_model
from tasks.hosted import check_access
from tasks.log_lines import know
from tasks.outcome import outcome_of
from tasks.prepare import Prepared
from tasks.quality import check_quality
from tasks.run_summary import costs_of_run, write_summary
from tasks.settings import check_settings
from tasks.takeover import check_take_over, refuse_another
from tasks.watermark import check_watermark

# Quiet and offline where the user has not said otherwise; a cold ephemeral server needs its time.
_PREFECT_DEFAULTS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # The terminal has a progress bar; the server still gets every line.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",
}
PROOF_WORKERS = 4
HOSTED_WORKERS = 2


def run_campaign(
    campaign: str, options: Mapping[str, Any], plan_file: str | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """Render a campaign and return the run's summary, complete or not.

    Args:
        options: fields of `flows.render.RenderOptions`.
        plan_file: a plan to make exactly, instead of planning anew.
        say: called with lines for people.
    """
    _set_defaults()
    with withdrawing_all_the_same(campaign, say):
        _refuse_early(campaign, options)
        prepared = prepare_render(campaign, options, say, plan_file=plan_file)
        header = PlanFile(prepared.store, prepared.plan_key).header
        know(campaign=header.campaign, run=prepared.run_id)
        retiring = options.get("retire") and prepared.summary["actions"].get("retired")
        if retiring and not options.get("take_over"):
            refuse_another(prepared.store, header, prepared.run_id)
        if prepared.has_work or retiring:
            check_access(header)
        if prepared.has_work and options.get("runner") != "ray":
            check_signing(header)
            check_watermark(header)
            check_quality(header.quality, header.source)
            check_device(header)
            if header.engine == "diffusers":
                check_attention_here((options.get("engine") or {}).get("attention", ""))
    if left_out := left_out_line(prepared.summary):
        say(left_out)
    for warning in prepared.summary["warnings"]:
        say(f"warning: {warning}")
    if not prepared.has_work and not retiring:
        plan = PlanFile(prepared.store, prepared.plan_key)
        return write_summary(prepared.store, prepared.run_id, prepared.summary, outcome_of(prepared.store, plan))
    finished = prepared.summary["work"].get("finish", 0)
    more = f", {finished} files to finish from masters" if finished else ""
    say(f"{prepared.summary['renders']} renders to make for {prepared.summary['assets']} assets{more}")
    if prepared.summary["held"]:
        say("nothing is bought, as the budget does not allow it: what costs nothing more is done")
    elif prepared.summary["cost_high"]:
        low, high = micro(prepared.summary["cost_low"]), micro(prepared.summary["cost_high"])
        say(f"they cost {shown(low)} to {shown(high)} USD by the published prices")
    try:
        return _run_flow(campaign, options, prepared, say)
    except (KeyboardInterrupt, StoppedError):
        _say_costs(prepared, say)
        raise


def _set_defaults() -> None:
    if not os.environ.get("PREFECT_API_URL", "unset"):
        del os.environ["PREFECT_API_URL"]  # empty is what an .env file says for none; Prefect takes it for an address
    for name, value in _PREFECT_DEFAULTS.items():
        os.environ.setdefault(name, value)


def _refuse_early(campaign: str, options: Mapping[str, Any]) -> None:
    """Say before planning what the flow would say after it."""
    check_settings()
    check_take_over(bool(options.get("retire")), bool(options.get("take_over")))
    check_runner(options.get("runner", "local"), options.get("address"))
    check_attention((options.get("engine") or {}).get("attention", ""))
    if options.get("runner") == "ray" and options.get("workers"):
        raise OptionError("--workers", str(options["workers"]), "Ray runs a shard wherever one is free", "leave it out")
    if not options.get("force"):
        opened = load_campaign(campaign)
        kind = choose_model(opened).kind
        refuse_if_held(Store.at(opened.output), opened.name, kind)


def _say_costs(prepared: Prepared, say: Callable[[str], None]) -> None:
    """What a run that was stopped has spent."""
    with suppress(PackshotError):
        for line in cost_lines(costs_of_run(prepared.store, prepared.run_id, prepared.summary)):
            say(line)


def _run_flow(
    campaign: str, options: Mapping[str, Any], prepared: Prepared, say: Callable[[str], None]
) -> dict[str, Any]:
    from prefect import State

    from flows.render import RenderOptions, render_catalog

    workers = _workers(options, prepared.summary)
    if not os.environ.get("PREFECT_API_URL"):
        say("starting; Prefect's own server takes some seconds")
        _start_server()
    chosen = RenderOptions(**{**options, "workers": workers})
    flow: Any = render_catalog  # typed as if it might be awaited
    state: State[Any] = flow(campaign, chosen, run_id=prepared.run_id, return_state=True)
    if state.is_cancelled() or state.is_cancelling():
        raise StoppedError("cancelled; what was finished is committed, run again to go on")
    result = state.result(raise_on_failure=False)
    if isinstance(result, BaseException):
        raise result
    return dict(result)


def _start_server() -> None:
    """Start the server of a single run where Ctrl-C does not reach it: it is to hear how the run ended.

    A terminal sends SIGINT to all processes it shows; what is blocked here stays so in a child.
    """
    from prefect.client.orchestration import get_client

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        get_client(sync_client=True)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _workers(options: Mapping[str, Any], summary: Mapping[str, Any]) -> int:
    asked = options.get("workers")
    if summary["model"].startswith(("bfl/", "server/")):
        # They share one loop and its slots: a second one only hides the tail of the first.
        return asked or HOSTED_WORKERS
    if summary["kind"] == "proof":
        return asked or min(PROOF_WORKERS, os.cpu_count() or 1)
    if asked and asked > 1:
        raise OptionError("--workers", str(asked), "one process drives one GPU", "leave it out")
    return 1
