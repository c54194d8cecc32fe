"""What packshot delivers for every built-in channel is what that channel takes, as its audit sees it."""

from __future__ import annotations

from pathlib import Path

from catalogs.campaigns.channels import builtin_channels
from tests.flows.all_channels import FOLDER, delivered
from tests.flows.commands import Packshot

PROOFS_NEED_NOT = {"background", "fill"}
"""A layout proof shows boxes and names up to its edge; it stands for no picture that is delivered to a shop."""


def test_every_built_in_channel_takes_what_is_delivered_for_it(tmp_path: Path, packshot: Packshot) -> None:
    files = delivered(tmp_path)
    said = packshot("channels", "--check", str(tmp_path / FOLDER), "--json")
    assert (said.code, said.err, said.answer["unreadable"]) == (0, "", [])
    pictures = {row["file"]: row for row in said.answer["pictures"]}
    assert files.keys() == builtin_channels().keys()
    assert pictures.keys() == {str(path) for path in files.values()}
    for name, path in files.items():
        row, channel = pictures[str(path)], builtin_channels()[name]
        assert (row["width"], row["height"], row["bytes"]) == (channel.width, channel.height, path.stat().st_size)
        assert (row["format"], row["mode"], row["bits"], row["profile"]) == ("JPEG", "RGB", 8, "sRGB built-in")
        [verdict] = [verdict for verdict in row["verdicts"] if verdict["channel"] == name]
        broken = {rule["rule"] for rule in verdict["rules"] if rule["outcome"] == "broken"}
        assert broken <= PROOFS_NEED_NOT, f"{name}: {verdict}"
        assert {rule["rule"] for rule in verdict["rules"] if rule["outcome"] == "kept"} >= {"frames", "format"}
