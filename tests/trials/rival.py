"""Another campaign of the same name and output: it is planned and rendered beside, and each may want to retire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalogs.plans.file import PlanFile
from tasks.before_render import withdrawing_all_the_same
from tasks.prepare import Prepared
from tasks.takeover import note_retiring, refuse_another
from tests.flows.projects import Project
from tests.trials.oracle import Key, Output, key_of

if TYPE_CHECKING:
    from tests.trials.world import Start, World

GARDEN: dict[str, Any] = {
    "garden": {
        "size": "64x64",
        "references": ["product.hero"],
        "prompt": {"scene": "{{ product.title }} in a garden"},
    }
}
CHANNELS = [{"name": "square", "width": 48, "height": 48, "format": "jpeg"}]


def rival_of(folder: Path) -> Project:
    """The other campaign, in a folder of its own; its pictures are made from the same photos."""
    more: dict[str, Any] = {"shots": GARDEN, "channels": CHANNELS, "look_by": ["product_group"]}
    return Project.of(folder / "rival", 0, output="../output", **more)


class Owners:
    """Which of the two campaigns made what, and which may therefore take it out.

    Attributes:
        made: by asset, the campaign file whose start committed it last, or which said that it takes it over.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self.made: dict[Key, str] = {}

    def ended(self, start: Start) -> None:
        """A start that committed nothing has made nothing."""
        if (self._output.folder / "catalog" / start.plan.run_id).exists():
            self.made.update(dict.fromkeys(map(key_of, start.plan.wanted()), start.campaign))

    def may_retire(self, campaign: str, prepared: Prepared, options: Mapping[str, Any]) -> None:
        """What `packshot render` asks between a plan and its work.

        Raises:
            CampaignError: the other campaign has made something, and nobody said that it is to be taken over.
        """
        if not options.get("retire") or not prepared.summary["actions"].get("retired"):
            return
        header = PlanFile(prepared.store, prepared.plan_key).header
        if options.get("take_over"):
            self.made = dict.fromkeys(self.made, campaign)
        else:
            with withdrawing_all_the_same(campaign, lambda line: None):
                refuse_another(prepared.store, PlanFile(prepared.store, prepared.plan_key).header, prepared.run_id)
        note_retiring(prepared.store, header, prepared.run_id)

    def check_retired(self, key: Key, start: Start) -> None:
        """Asked of an asset when it is retired; from then on it is of the campaign that did."""
        assert self.made.setdefault(key, start.campaign) == start.campaign, f"{key} was made by another campaign"


@contextmanager
def beside(world: World) -> Iterator[None]:
    """What is done in the block the other campaign does."""
    mine = world.project, world.rows
    world.project, world.rows = world.rival, world.rival_rows
    try:
        world.write()
        yield
    finally:
        world.project, world.rows = mine
