"""What a render does before it plans, and where it cannot: look at the files, take back what no right covers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from catalogs.assets.commits import Pair, Status, Step, UnreadCommit
from catalogs.assets.delivered import delivered_in
from catalogs.assets.history import History
from catalogs.assets.lines import resume
from catalogs.assets.starts import new_start
from catalogs.campaigns.campaign import Campaign, load_campaign
from catalogs.columns import Row
from catalogs.errors import OptionError, PackshotError, UserError, nearest
from catalogs.inputs.reader import Catalog
from catalogs.plans.restate import commit_again
from catalogs.storage.store import Store
from tasks.engines import engine_of
from tasks.metrics import ASSETS, Meter
from tasks.photos import web_photos
from tasks.plan_inputs import book_of
from tasks.prepare import Prepared, prepare
from tasks.rejudging import rejudge
from tasks.unread import naming
from tasks.unwanted import ended_of
from tasks.verify import MuchIsGone, verify_recent


def prepare_render(
    path: str,
    options: Mapping[str, Any],
    say: Callable[[str], None],
    plan_file: str | None = None,
    run_id: str | None = None,
) -> Prepared:
    """`prepare` for a render: what is called delivered is looked at first, so that what is gone is made again.

    Where nothing can be planned, what must be withdrawn is withdrawn all the same.

    Args:
        say: called with a line about what was found or withdrawn.

    Raises:
        UserError: as `prepare`.
        UnreadCommit: a commit cannot be read; nothing is rendered, retired or withdrawn on the ground of the others.
        MuchIsGone: so much is gone that somebody must say that it is.
    """
    with withdrawing_all_the_same(path, say):
        if run_id is None:
            if options.get("rejudge") and (plan_file or options.get("only") or options.get("limit")):
                fix = "leave --only, --limit and --plan to the render after it"
                raise OptionError("--rejudge", "", "judges all that is there", fix)
            resume_shots(path, options.get("resume_shot") or (), say)
            if options.get("rejudge"):
                campaign = load_campaign(path)
                rejudge(campaign, Store.at(campaign.output), say)
            _look(path, say)
        else:
            _refuse_unread(path)
        return prepare(path, options, plan_file, run_id, may_hold=True)


def resume_shots(path: str, shots: Sequence[str], say: Callable[[str], None]) -> None:
    """Write down that shots go on which were stopped for their pictures.

    Raises:
        OptionError: the campaign has no such shot.
    """
    if not shots:
        return
    campaign = load_campaign(path)
    for shot in shots:
        if shot not in campaign.shots:
            raise OptionError("--resume-shot", shot, "is no shot of this campaign", nearest(shot, campaign.shots))
    store = Store.at(campaign.output)
    resume(store, campaign.name, shots, new_start(store, History.read(store, campaign.name).latest))
    say(f"resumed: {', '.join(shots)}; what their pictures were judged before counts no more")


@contextmanager
def withdrawing_all_the_same(path: str, say: Callable[[str], None]) -> Iterator[None]:
    """Whatever refuses the block, what no right covers any more is withdrawn.

    But for a commit that cannot be read: what stands in it may have been withdrawn, renewed or made anew.

    Args:
        say: called with a line about what was withdrawn.
    """
    try:
        with naming(path):
            yield
    except UnreadCommit:
        raise
    except (UserError, MuchIsGone):
        if count := withdraw_if_possible(path):
            say(f"{count} delivered assets withdrawn: a right to a photo has ended")
        raise


def _look(path: str, say: Callable[[str], None]) -> None:
    campaign = load_campaign(path)
    verified = verify_recent(campaign, Store.at(campaign.output))
    if verified.missing:
        say(f"{verified.missing} of {verified.checked} delivered files are gone or changed, and wanted again")


def _refuse_unread(path: str) -> None:
    campaign = load_campaign(path)
    delivered_in(Store.at(campaign.output), campaign.name).refresh()


def withdraw_if_possible(path: str) -> int:
    """`withdraw_ended_of` the campaign of a file, 0 where that cannot be."""
    try:
        return withdraw_ended_of(load_campaign(path))
    except PackshotError:
        return 0  # what stops it stops the plan too, which says so


def withdraw_ended_of(campaign: Campaign) -> int:
    """Commit the withdrawal of every delivered asset of a campaign that no right covers any more.

    Returns:
        How many; masters, which are no assets, not counted.

    Raises:
        UnreadCommit: a commit cannot be read; nothing was withdrawn.
    """
    with naming(campaign.source):
        return _withdraw(campaign, Store.at(campaign.output))


def _withdraw(campaign: Campaign, store: Store) -> int:
    history = History.read(store, campaign.name)
    products = Catalog.open(campaign.catalogs.products, "products")
    book = book_of(campaign, web_photos(campaign, store))
    ended = ended_of(campaign, store, history, products, book, datetime.now(UTC).date())
    if not ended:
        return 0
    wanted: dict[Pair, Row] = {(i.digest(), bytes.fromhex(f)): {} for i, f in ended.items()}
    run_id = new_start(store, history.latest)
    commit_again(store, campaign.name, run_id, Step.WITHDRAW, Status.WITHDRAWN, wanted)
    count = sum(not identity.is_master for identity in ended)
    Meter(campaign.name, engine_of(campaign)).count(ASSETS, count, state="withdrawn")
    return count
