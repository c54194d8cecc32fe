"""A task that is paid for, to its picture: wait, download, and believe that it is gone only when its time is over."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from catalogs.journal.records import COLLECTABLE, Attempt, Ending, PaidTask
from catalogs.journal.spend import Journal
from inference.hosted.account import Account
from inference.hosted.client import TASK_LIFE, Gone, NotReady, Sample, TaskFailed
from inference.hosted.download import Download
from inference.hosted.links import LinkRefused, LinkTrouble, expiry_of
from inference.hosted.settings import HostedSettings
from inference.models.specs import ModelSpec
from inference.remote.backoff import backoff

EXPIRED_LINKS = 3
"""A link that has expired is refused so often, and asked for anew in between, before its picture counts as gone."""
_ENDINGS = {"Request Moderated": Ending.REQUEST_MODERATED, "Content Moderated": Ending.CONTENT_MODERATED}


class Collection:
    """One task of one attempt.

    Args:
        age: seconds since the task was made.
        before: how the attempt stands: one that has expired once, as an earlier run saw it, is gone the second time.
    """

    def __init__(
        self,
        spec: ModelSpec,
        settings: HostedSettings,
        account: Account,
        journal: Journal,
        fingerprint: str,
        number: int,
        task: PaidTask,
        age: float = 0.0,
        before: Ending | None = None,
    ) -> None:
        self._spec, self._account, self._journal = spec, account, journal
        self._fingerprint, self._number, self._task, self._age, self._before = fingerprint, number, task, age, before
        self._deadline = settings.deadline or spec.deadline
        self._started = time.monotonic()

    async def sample(self) -> Sample:
        """Where the picture is, once the task is done.

        Raises:
            TaskFailed, Gone: written down in the journal.
            NotReady: a later run asks again.
        """
        try:
            return await self._wait()
        except TaskFailed as error:
            await self._end(_ENDINGS.get(error.status, Ending.ERROR), str(error))
            raise
        except Gone as error:
            await self._end(self._gone, f"task {self._task.id} is gone ({error})")
            raise

    async def picture(self, sample: Sample, seed: int) -> Download:
        """Download at once; what refuses is tried again, and the task asked for a new link, until the link's own end.

        Raises:
            Gone, TaskFailed: written down in the journal.
            NotReady: a later run asks again.
        """
        url, prompt, used = sample.url, sample.prompt, seed if sample.seed is None else sample.seed
        first_seen, until, expired, tries = datetime.now(UTC), time.monotonic() + self._deadline, 0, 0
        while True:
            try:
                data = await self._account.client.links.download(url)
                seconds = time.monotonic() - self._started
                return Download(self._fingerprint, self._number, data, prompt, used, self._task.cost, seconds)
            except LinkRefused as error:
                ends = expiry_of(url) or first_seen + timedelta(seconds=TASK_LIFE)
                expired, problem = expired + (ends <= error.at), str(error)
            except LinkTrouble as error:
                expired, problem = 0, str(error)
            if expired >= EXPIRED_LINKS:
                await self._end(self._gone, f"the picture of task {self._task.id} is gone ({problem})")
                raise Gone(problem)
            if time.monotonic() > until:
                raise NotReady(f"the picture could not be downloaded ({problem}); the next run collects it")
            self._account.client.trouble = problem
            await asyncio.sleep(backoff(tries))
            tries += 1
            url = (await self.sample()).url

    async def _wait(self) -> Sample:
        pace = self._account.pace(self._spec)
        url = self._task.polling_url
        return await self._account.client.wait(url, self._started, self._age, self._deadline, pace)

    @property
    def is_believed(self) -> bool:
        """Whether a task that is gone was asked for before."""
        return self._before is Ending.EXPIRED

    @property
    def _gone(self) -> Ending:
        return Ending.GONE if self.is_believed else Ending.EXPIRED

    async def _end(self, ending: Ending, detail: str) -> None:
        await self._account.thread(self._journal.end, self._fingerprint, self._number, ending, detail)


def is_collectable(attempt: Attempt) -> bool:
    """Whether a task of an earlier start may still be asked for its picture."""
    return attempt.task is not None and attempt.ending in COLLECTABLE
