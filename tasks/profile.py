"""What the engines and the threads behind them did, in numbers people can act on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from inference.engine import Profile


def profile_of(shards: Iterable[Mapping[str, Any]], seconds: float) -> dict[str, Any]:
    """Sum up the shards of a run.

    Args:
        shards: reports as `tasks.shard.ShardReport.as_dict` makes them.
        seconds: wall time of the run.

    Returns:
        `images_per_second` of wall time; `device`; `device_images_per_second` without warm-up; `stages`, share of the
        device's time by stage; `warm_up_seconds`; `limit_share`, of the operations a second the device reaches in a
        dense matrix product, None where it was not measured; `memory_gib`; `waiting`, share of the engine's time in
        which it waited for references or finishers; `host_seconds` by stage of the threads behind; `counts`; `notes`.
    """
    total, host, rendered, blocked = Profile(), Counter[str](), 0, 0.0
    for shard in shards:
        total.add(Profile(**shard["profile"]))
        host.update(shard["host_seconds"])
        rendered += shard["rendered"]
    blocked = host.pop("blocked", 0.0)
    work = {name: spent for name, spent in total.seconds.items() if name not in ("warm-up", "wait")}
    busy = sum(work.values())
    waited = total.seconds.get("wait", 0.0) + blocked
    reached = total.flops / work["denoise"] if work.get("denoise") else 0.0
    return {
        "images_per_second": round(rendered / seconds, 3) if seconds else 0.0,
        "device": total.device,
        "device_images_per_second": round(total.images / busy, 3) if busy else None,
        "stages": {name: round(spent / busy, 4) for name, spent in sorted(work.items())} if busy else {},
        "warm_up_seconds": round(total.seconds.get("warm-up", 0.0), 3),
        "limit_share": round(reached / total.limit_flops, 4) if total.limit_flops and reached else None,
        "memory_gib": round(total.peak_bytes / 2**30, 2),
        "waiting": round(waited / (busy + waited), 4) if busy + waited else 0.0,
        "host_seconds": {name: round(spent, 3) for name, spent in sorted(host.items())},
        "counts": dict(sorted(total.counts.items())),
        "notes": total.notes,
    }


def profile_lines(profile: Mapping[str, Any]) -> list[str]:
    """The numbers for people."""
    lines = [f"speed     {profile['images_per_second']:g} images/s of the run's wall time"]
    if profile["device"]:
        lines.append(f"device    {profile['device']}, {profile['memory_gib']:g} GiB held at most")
    if profile["device_images_per_second"]:
        limit = profile["limit_share"]
        of_limit = f", {limit:.0%} of its dense rate while it denoises" if limit else ""
        lines.append(f"          {profile['device_images_per_second']:g} images/s while it works{of_limit}")
        stages = sorted(profile["stages"].items(), key=lambda item: -item[1])
        lines.append("stages    " + ", ".join(f"{name} {share:.0%}" for name, share in stages))
    if profile["warm_up_seconds"]:
        lines.append(f"warm-up   {profile['warm_up_seconds']:g} s, not counted above")
    if profile["stages"]:  # of an engine with a device; others wait for nothing but themselves
        waiting = "of the engine's time, for references and for finished pictures"
        lines.append(f"waiting   {profile['waiting']:.1%} {waiting}")
    host = ", ".join(f"{name} {spent:g} s" for name, spent in profile["host_seconds"].items())
    if host:
        lines.append(f"behind it {host}, over all threads")
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in profile["counts"].items() if count)
    if counts:
        lines.append(f"counts    {counts}")
    lines += [f"note      {note}" for note in profile.get("notes", ())]
    return lines
