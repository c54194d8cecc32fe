"""One small project as its users treat it: catalogs that change, starts that end well or not."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from catalogs.assets.masters import LEAST_GRACE
from catalogs.campaigns.campaign import load_campaign
from catalogs.errors import CampaignError, UserError
from catalogs.journal.lease import hold
from catalogs.plans.file import PlanFile
from tasks.before_render import prepare_render
from tasks.leftovers import Found, delete_leftovers, find_leftovers
from tasks.outcome import outcome_of
from tasks.planning import NothingLeft
from tasks.prepare import Prepared, copy_plan, prepare
from tasks.verify import MuchIsGone, verify
from tests.flows.projects import Project, draw_photo, steps
from tests.trials.checked import check_agrees
from tests.trials.faults import Faults, Killed, new_process
from tests.trials.forged import write_forged
from tests.trials.oracle import Key, Output, Plan, is_master, key_of
from tests.trials.rival import Owners, rival_of

BRANDS = {"g0": "acme", "g1": "nord", "g2": "acme"}
LICENCES = (None, -1, 3)  # days from now


@dataclass
class Product:
    """A row of the catalog; `fault` is a typing error in it."""

    product_id: str
    group: str
    fault: str = ""


@dataclass
class Start:
    """A run that was planned.

    Attributes:
        campaign: its file.
        ids: the products of the catalog when it was planned.
    """

    campaign: str
    prepared: Prepared
    plan: Plan
    ids: frozenset[str]
    is_retiring: bool
    is_complete: bool = False


class World:
    """The project, its output as an oracle sees it, and what was asked of it so far.

    In a block of `beside` the project and its rows are those of the other campaign.

    Attributes:
        asked: by asset, the fingerprints that may count, None where there may be no row.
        starts: by run id, those that may retire, and for whom.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="trial-"))
        self.faults = Faults()
        new_process()
        self.project = Project.of(self.folder, 0, look_by=["product_group"])
        self.rows = [Product("p0", "g0"), Product("p1", "g0"), Product("p2", "g1"), Product("p3", "g1")]
        self.titles = dict.fromkeys(BRANDS, "Mug")
        self.ends: dict[str, date | None] = dict.fromkeys(BRANDS)
        for number, group in enumerate(BRANDS):
            draw_photo(self.photo(group), (40 * number, 90, 120))
        self.rival = rival_of(self.folder)
        self.rival_rows = [Product("r0", "g0"), Product("r1", "g2")]
        self.output = Output(self.folder / "output")
        self.owners = Owners(self.output)
        self.asked: dict[Key, set[str | None]] = {}
        self.starts: dict[str, Start] = {}
        self.kept: list[Path] = []
        self.trash: dict[str, bytes] = {}
        self.serial = len(self.rows)
        self.write()

    def close(self) -> None:
        self.faults.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # The catalog

    def photo(self, group: str) -> Path:
        return self.folder / f"photo-{group}.png"

    def today(self) -> date:
        return self.faults.clock.moment.date()

    def write(self) -> None:
        self.project.products = [
            {
                "product_id": "" if row.fault == "id" else row.product_id,
                "brand_id": BRANDS[row.group],
                "title": "" if row.fault == "title" else self.titles[row.group],
                "product_group": row.group,
                "reference_images": [
                    {"uri": str(self.photo(row.group)), "role": "hero", "licence_end": self.ends[row.group]}
                ],
            }
            for row in self.rows
        ]
        self.project.write()

    def rights(self) -> dict[str, date | None]:
        """What the catalog says of photos, by URI."""
        return {str(self.photo(row.group)): self.ends[row.group] for row in self.rows}

    # What may be damaged

    def asset_keys(self) -> list[str]:
        return [row["asset_key"] for row in self.output.delivered() if (self.output.folder / row["asset_key"]).exists()]

    def master_keys(self) -> list[str]:
        return sorted(str(path.relative_to(self.output.folder)) for path in self.output.folder.glob("renders/*/*.png"))

    def delete(self, key: str) -> None:
        path = self.output.folder / key
        self.trash[key] = path.read_bytes()
        path.unlink()
        self.output.harm(key)

    # Starts

    def plan(self, options: dict[str, Any], plan_file: Path | None = None) -> Start | None:
        """Look, plan and check the plan; None where nothing is planned."""
        new_process()
        try:
            prepared = self._prepare(options, plan_file)
        except UserError as error:
            self.output.check_rights(self.rights(), self.today())
            if isinstance(error, NothingLeft):
                check_agrees(self.project.path, None, options)
            return None
        except MuchIsGone:
            return None
        start = self.planned(prepared, bool(options.get("retire")), is_new=plan_file is None)
        if plan_file is None:
            check_agrees(self.project.path, start.plan, options)
        try:
            self.owners.may_retire(start.campaign, prepared, options)
        except CampaignError:
            self.output.check_rights(self.rights(), self.today())
            return None
        return start

    def _prepare(self, options: dict[str, Any], plan_file: Path | None) -> Prepared:
        said = None if plan_file is None else str(plan_file)
        return prepare_render(self.project.path, options, lambda line: None, said)

    def planned(self, prepared: Prepared, is_retiring: bool, is_new: bool) -> Start:
        plan = self.output.plan(prepared.run_id)
        if is_new:
            self.output.check_accounted(plan, self.project.folder / "products.parquet")
        self.output.check_finishable(plan)
        wanted = len(list(plan.wanted()))
        assert prepared.summary["assets"] == wanted, f"{prepared.summary['assets']} assets, not {wanted}"
        self.starts[prepared.run_id] = self._start(prepared, plan, is_retiring)
        return self.starts[prepared.run_id]

    def _start(self, prepared: Any, plan: Plan, is_retiring: bool) -> Start:
        ids = frozenset(row.product_id for row in self.rows)
        return Start(self.project.path, prepared, plan, ids, is_retiring)

    def work(self, start: Start) -> Iterator[None]:
        """Everything a plan asks for, a step at a time; then what came of it."""
        for report in steps(start.prepared, 4, start.is_retiring):
            if report is not None:
                done = report.delivered + report.failed + report.skipped
                assert done == report.assets, f"{done} of {report.assets} assets of a shard"
            yield
        outcome = outcome_of(start.prepared.store, PlanFile(start.prepared.store, start.prepared.plan_key))
        wanted = len(list(start.plan.wanted()))
        assert outcome.planned + outcome.withdrawn >= wanted, f"{outcome} of {wanted} assets"
        assert outcome.planned <= wanted, f"{outcome} of {wanted} assets"
        start.is_complete = outcome.complete
        if outcome.complete:
            self.output.check_complete(start.plan)

    def lease(self, start: Start, force: bool = False) -> Any:
        header = start.plan.header
        return hold(start.prepared.store, header["campaign"], header["kind"], start.prepared.run_id, force)

    def ended(self, *starts: Start) -> None:
        """Starts, in the order in which they were started, have come to their ends, this way or that."""
        for start in starts:
            for row in start.plan.wanted():
                asked = self.asked.setdefault(key_of(row), {None})
                if start.is_complete:
                    asked.clear()
                asked.add(row["fingerprint"])
            self.owners.ended(start)

    def check_render(self, start: Start) -> None:
        """After a render that nobody killed."""
        rights, today = self.rights(), self.today()
        self.output.check_done(start.plan)
        self.output.check_rights(rights, today)
        self.output.check_withdrawn(start.plan.run_id, rights, today)
        if start.is_retiring and start.is_complete and not start.plan.nameless and not start.plan.header["partial"]:
            wanted = {key_of(row) for row in start.plan.wanted()}
            for row in self.output.delivered():
                stays = key_of(row) in wanted or start.ids.intersection(row["covers"])
                assert stays, f"{row['asset_key']} is of no product, and not retired"

    def render(
        self, options: dict[str, Any], plan_file: Path | None = None, planned: Callable[[], object] = lambda: None
    ) -> Start | None:
        """A render that nobody kills; `planned` is called when it has its plan."""
        looked_at = self.output.looked_at()
        start = self.plan(options, plan_file)
        if start is None:
            return None
        planned()
        with self.lease(start):
            for _ in self.work(start):
                pass
        self.ended(start)
        self.check_render(start)
        self.output.check_seen(looked_at)
        return start

    def killed(self, options: dict[str, Any], operation: int, is_late: bool, plan_file: Path | None = None) -> None:
        """A render whose process dies at an operation of the store."""
        before = set(self.output.plans())
        starts: list[Start] = []
        new_process()
        try:
            with ExitStack() as stack:
                stack.enter_context(self.faults.killed_at(operation, is_late))
                prepared = self._prepare(options, plan_file)
                starts.append(self.planned(prepared, bool(options.get("retire")), is_new=plan_file is None))
                self.owners.may_retire(self.project.path, prepared, options)
                stack.enter_context(self.lease(starts[0]))
                for _ in self.work(starts[0]):
                    pass
        except (Killed, UserError, MuchIsGone):
            self.end_leases()
        left = [name for name in self.output.plans() if name not in before]
        for name in left:
            plan = self.output.plan(name)
            if plan_file is None:
                self.output.check_accounted(plan, self.project.folder / "products.parquet")
            start = starts[0] if starts else self._start(None, plan, bool(options.get("retire")))
            self.starts[name] = start
            self.ended(start)

    def end_leases(self) -> None:
        """A dead process holds no lease; that of this one goes on."""
        for path in self.output.folder.glob("leases/*.json"):
            path.unlink()

    def together(
        self, changes: Sequence[Callable[[], None]], order: Sequence[int], kill: tuple[int, int, bool] | None
    ) -> None:
        """Starts at once, all but the first by force, each after a change; `order` says whose step is next.

        Args:
            kill: which of them dies in a step of so many operations of the store, and whether late.
        """
        starts: list[Start] = []
        with ExitStack() as leases:
            for change in changes:
                change()
                if (start := self.plan({"force": bool(starts)})) is not None:
                    leases.enter_context(self.lease(start, force=bool(starts)))
                    starts.append(start)
            runs = {number: self.work(start) for number, start in enumerate(starts)}
            turns = iter(order)
            while runs:
                turn = sorted(runs)[next(turns, 0) % len(runs)]
                if self._dies(runs[turn], kill if kill and kill[0] == turn else None):
                    del runs[turn]
        self.end_leases()
        self.ended(*starts)
        for start in starts[-1:]:
            self.output.check_withdrawn(start.plan.run_id, self.rights(), self.today())
            if not kill or kill[0] != len(starts) - 1:
                self.output.check_done(start.plan)
            if start.is_complete:
                self.output.check_complete(start.plan)

    def _dies(self, run: Iterator[None], kill: tuple[int, int, bool] | None) -> bool:
        """Take a step of a run; whether it was its last."""
        try:
            if kill is None:
                return next(run, self) is self
            with self.faults.killed_at(kill[1], kill[2]):
                return next(run, self) is self
        except Killed:
            return True

    # What else people do

    def keep(self, options: dict[str, Any]) -> None:
        """`packshot plan --out FILE`."""
        new_process()
        try:
            prepared = prepare(self.project.path, options)
        except UserError:
            return
        self.planned(prepared, is_retiring=False, is_new=True)
        self.kept.append(self.folder / f"kept-{len(self.kept)}.parquet")
        copy_plan(prepared, str(self.kept[-1]))

    def render_edited(self, path: Path) -> None:
        """A kept plan in which somebody wrote another prompt is refused."""
        edited = self.folder / "edited.parquet"
        if write_forged(path, edited):
            assert self.plan({}, edited) is None, "a plan was changed by hand, and taken"

    def sweep(self, meanwhile: Callable[[], object]) -> None:
        """List leftovers, let something happen, delete them."""
        self.age()
        found = find_leftovers(self.project.store, LEAST_GRACE)
        meanwhile()
        named = self.output.named()
        before = self.output.existing(named)
        delete_leftovers(self.project.store, found)
        assert self.output.existing(named) == before, "the sweep took what the record names"

    def sweep_beside(self, operation: int) -> None:
        """A sweep lists while a run that nobody sees is about to commit, and deletes when it has."""
        found: list[Found] = []

        def look() -> None:
            self.age()
            found.append(find_leftovers(self.project.store, LEAST_GRACE))

        start = self.plan({})
        if start is None:
            return
        run = self.work(start)
        for number, _ in enumerate(run):
            if number == operation:
                self.faults.before_commit = look
        self.faults.before_commit = None
        self.ended(start)
        named = self.output.named()
        before = self.output.existing(named)
        for item in found:
            delete_leftovers(self.project.store, item)
        assert self.output.existing(named) == before, "the sweep took what the record names"

    def verify(self, deep: bool, sure: bool) -> None:
        new_process()
        try:
            verify(load_campaign(self.project.path), self.project.store, deep, sure)
        except MuchIsGone:
            assert not sure
        else:
            self.output.check_verified(deep)

    def age(self) -> None:
        """Everything in the output was written a day earlier."""
        for path in self.output.folder.rglob("*"):
            if path.is_file():
                moment = path.stat().st_mtime - timedelta(days=1).total_seconds()
                os.utime(path, (moment, moment))

    # What always holds

    def check(self) -> None:
        self.output.check_files()
        self.output.check_masters()
        record = self.output.record()
        for key, fingerprints in self.asked.items():
            found = record[key]["fingerprint"] if key in record else None
            assert found in fingerprints, f"{key} is {found}, asked for last was {sorted(map(str, fingerprints))}"
        for row in record.values():
            if row["status"] == "retired" and not is_master(row):
                start = self.starts[row["run_id"]]
                assert start.is_retiring, f"{row['asset_key']} was retired unasked"
                self.owners.check_retired(key_of(row), start)
                assert not start.plan.nameless, f"{row['asset_key']} may be of the row without an id"
                assert not start.ids.intersection(row["covers"]), f"{row['asset_key']} is wanted, and retired"
