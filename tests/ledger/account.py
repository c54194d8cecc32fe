"""One customer's account: what was asked, billed, answered and delivered. Money is in integer micro-USD."""

from __future__ import annotations

import hashlib
import json
import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlencode

from tests.ledger.bodies import canonical_hash, problems, prompt_hash
from tests.ledger.prices import PRICES, Order, order
from tests.ledger.rules import Rules

NOT_FOUND = {"detail": "Not Found"}
FORBIDDEN = {"detail": "Not authenticated - Invalid Authentication"}
PER_CREDIT = 10_000

Outcome = Literal["made", "refused", "nothing"]
Told = int | Literal["cut", "gone"]


@dataclass
class Submit:
    """A line of the ledger.

    Attributes:
        n: from 1, in the order of arrival.
        time: seconds since 1970 on the server's clock, as every time here.
        path: model, the last part of the URL.
        body: sha256 of the body's canonical JSON.
        prompt: sha256 of the body's prompt, "" without one.
        seed, width, height: as the body has them.
        outcome: "made" (a task, billed), "refused" (nothing made, and the answer says so), "nothing" (nothing
            made, and the answer does not say so).
        billed: micro-USD.
        answered: HTTP status; "cut" where the server broke the connection off, "gone" where the client had left
            before the answer; None while it waits for one.
        links: every link that was given, in order.
        delivered: how often all bytes of the picture were taken.
        collected_at: time of the first of these.
        ended: the task's last status, None while it is in flight; "Gone" for one that nobody can ask for.
    """

    n: int
    time: float
    path: str
    body: str
    prompt: str
    seed: object
    width: object
    height: object
    outcome: Outcome = "refused"
    task: str | None = None
    billed: int = 0
    answered: Told | None = None
    polls: int = 0
    links: list[str] = field(default_factory=list)
    delivered: int = 0
    collected_at: float | None = None
    ended: str | None = None


@dataclass
class Task:
    """What a submit made.

    Attributes:
        end: status it will end in.
        flaw: "" for a good picture, "wrong_ratio", "wrong_size" or "not_an_image".
        linked_at: when its first link was given.
        expires: the time in its newest link, in whole seconds.
    """

    submit: Submit
    asked: dict[str, Any]
    order: Order
    ends_at: float
    end: str
    flaw: str
    gone: bool
    linked_at: float | None = None
    expires: int = 0

    @property
    def picture_size(self) -> tuple[int, int]:
        width, height = self.order.width, self.order.height
        if self.flaw == "wrong_ratio":
            return round(width * 1.25), height
        return (round(width * 1.01), round(height * 1.01)) if self.flaw == "wrong_size" else (width, height)

    @property
    def format(self) -> str:
        return str(self.asked.get("output_format") or "jpeg")


@dataclass(frozen=True)
class Answer:
    """What a client is told.

    Attributes:
        code: HTTP status; None where the connection is cut.
        content: JSON text; None for an answer without a body.
        location: where a redirect leads.
        task: whose picture the bytes are.
    """

    code: int | None
    content: str | None = None
    location: str | None = None
    task: Task | None = None


def say(code: int, content: object) -> Answer:
    return Answer(code, json.dumps(content))


class Account:
    """Where `pictures` is host:port of its links and `polls` that of its polling URLs."""

    def __init__(self, polls: str, pictures: str, clock: Callable[[], float] = time.time) -> None:
        self._polls, self._pictures, self._clock = polls, pictures, clock
        self.forget()

    def forget(self) -> None:
        """An empty ledger, and rules as they are before anyone sets them."""
        self.rules = Rules()
        self.submits: list[Submit] = []
        self.bodies: list[object] = []
        self.keys: set[str] = set()
        self.key_leaks: list[str] = []
        self._tasks: dict[str, Task] = {}
        self._running: list[Task] = []
        self._unanswered: list[Submit] = []
        self._peak = self._unanswered_peak = 0

    def now(self) -> float:
        return self._clock() + self.rules.clock

    # Submits

    def submit(self, path: str, data: bytes, key: str) -> tuple[Submit, Answer]:
        """A submit has arrived whole. What it makes is made and billed here; `told` says how it was answered."""
        try:
            body = json.loads(data)
        except ValueError:
            body = None
        asked = body if isinstance(body, dict) else {}
        seed, width, height = (asked.get(name) for name in ("seed", "width", "height"))
        hashed, prompt = canonical_hash(body), prompt_hash(asked)
        submit = Submit(len(self.submits) + 1, self.now(), path, hashed, prompt, seed, width, height)
        self.submits.append(submit)
        self.bodies.append(body)
        self._unanswered = [*(each for each in self._unanswered if each.answered is None), submit]
        self._unanswered_peak = max(self._unanswered_peak, len(self._unanswered))
        return submit, self._refusal(submit, body, key) or self._nothing(submit) or self._buy(submit, asked)

    def told(self, submit: Submit, how: Told) -> None:
        submit.answered = how

    def may(self, key: str) -> bool:
        """Whether a key is known; remembers it, to know it again where it must not be."""
        self.keys |= {key} if key else set()
        return bool(key) and self.rules.key in ("", key)

    def _refusal(self, submit: Submit, body: object, key: str) -> Answer | None:
        if not self.may(key):
            return say(403, FORBIDDEN)
        if submit.path not in PRICES:
            return say(404, NOT_FOUND)
        if wrong := problems(submit.path, body):
            return say(422, {"detail": wrong})
        if self.rules.storm > 0:
            self.rules.storm -= 1
            return say(429, {"detail": "Rate limit exceeded"})
        if len(self._active()) >= self.rules.cap:
            return say(429, {"detail": "Too many active tasks"})
        if self.rules.happens("p_503_body", submit.n):
            return say(503, {"detail": "Service temporarily unavailable, no task was created"})
        return None

    def _nothing(self, submit: Submit) -> Answer | None:
        """Nothing is made, and the answer leaves the client in the dark."""
        for name, code in (("p_503_bare_free", 503), ("p_cut_free", None)):
            if self.rules.happens(name, submit.n):
                submit.outcome = "nothing"
                return Answer(code)
        return None

    def _buy(self, submit: Submit, asked: dict[str, Any]) -> Answer:
        bought = order(submit.path, asked, self.rules.price_factor)
        if bought.price > self.rules.credits:
            return say(402, {"detail": "Insufficient credits"})
        self.rules.credits -= bought.price
        submit.outcome, submit.billed, submit.task = "made", bought.price, str(uuid.uuid4())
        task = self._make(submit, asked, bought)
        self._tasks[submit.task] = task
        self._peak = max(self._peak, len(self._active()) + 1)
        self._running.append(task)
        return self._receipt(task)

    def _make(self, submit: Submit, asked: dict[str, Any], bought: Order) -> Task:
        def happens(name: str) -> bool:
            return self.rules.happens(name, submit.n)

        seconds = self.rules.slow_seconds if happens("slow") else self.rules.seconds
        ends = {"error": "Error", "request_moderated": "Request Moderated", "content_moderated": "Content Moderated"}
        end = next((status for name, status in ends.items() if happens(f"p_{name}")), "Ready")
        flaws = ("wrong_ratio", "wrong_size", "not_an_image")
        flaw = next((name for name in flaws if happens(f"p_{name}")), "")
        return Task(submit, asked, bought, submit.time + seconds, end, flaw, happens("p_gone"))

    def _receipt(self, task: Task) -> Answer:
        """What a submit that made a task is answered, well or badly."""
        n, asked, bought = task.submit.n, task.asked, task.order
        for name, code in (("500", 500), ("502", 502), ("503_bare", 503), ("cut", None)):
            if self.rules.happens(f"p_bill_then_{name}", n):
                return Answer(code)
        said = self.rules.cost_says
        cost = json.dumps(bought.price / PER_CREDIT) if said is None else said
        place = {"id": task.submit.task}
        if asked.get("webhook_url"):
            place |= {"status": "Pending", "webhook_url": asked["webhook_url"]}
        else:
            place["polling_url"] = f"http://{self._polls}/v1/get_result?id={task.submit.task}"
        sizes = f'"input_mp": {bought.input_mp}, "output_mp": {bought.output_mp}'
        return Answer(200, f'{json.dumps(place)[:-1]}, "cost": {cost}, {sizes}}}')

    def _active(self) -> list[Task]:
        now = self.now()
        self._running = [task for task in self._running if task.ends_at > now]
        return self._running

    # Polls

    def poll(self, task_id: str) -> Answer:
        """What the polling host says of a task."""
        task = self._tasks.get(task_id)
        if task is None:
            return say(404, NOT_FOUND)
        task.submit.polls += 1
        age, rules = self.now() - task.submit.time, self.rules
        if task.gone:
            return Answer(404)
        if age < rules.poll_404_for or (rules.task_life is not None and age > rules.task_life):
            return say(404, NOT_FOUND)
        if age < rules.poll_503_for:
            return Answer(503)
        return say(200, {"id": task_id, **self._state(task)})

    def _state(self, task: Task) -> dict[str, Any]:
        whole = task.ends_at - task.submit.time
        done = 1.0 if whole <= 0 else (self.now() - task.submit.time) / whole
        state: dict[str, Any] = dict.fromkeys(("status", "result", "progress", "details", "preview"))
        if done < 1:
            running = {"status": "Generating", "progress": round(done, 2)}
            return state | (running if done >= 0.5 else {"status": "Pending"})
        state["status"] = task.end
        if task.end == "Ready":
            state["result"] = self._result(task)
        elif task.end == "Error":
            state["details"] = {"error": "the worker failed"}
        else:
            state["details"] = {"Moderation Reasons": ["Content Policy Violation"]}
        return state

    def _result(self, task: Task) -> dict[str, Any]:
        seed = task.asked.get("seed")
        return {
            "start_time": task.submit.time,
            "prompt": _used_prompt(task.submit.path, task.asked),
            "seed": int(task.submit.body[:7], 16) if seed is None else seed,
            "sample": self._link(task),
        }

    # Links

    def _link(self, task: Task) -> str:
        now = self.now()
        if task.linked_at is None or self.rules.renew_links:
            task.expires = math.ceil(now + self.rules.link_ttl)
        if task.linked_at is None:
            task.linked_at = now
        query = self._signed(task, task.expires)
        day = datetime.fromtimestamp(task.submit.time, UTC).strftime("%Y/%m/%d")
        host = self.rules.link_host or self._pictures
        link = f"http://{host}/results/{day}/{task.submit.task}_sample.{task.format}?{urlencode(query)}"
        task.submit.links.append(link)
        return link

    def _signed(self, task: Task, expires: int) -> dict[str, str]:
        se = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        signature = hashlib.sha256(f"{task.submit.task} {se}".encode()).hexdigest()
        kind = f"image/{task.format}"
        return {"se": se, "sp": "r", "sv": "2024-11-04", "sr": "b", "rsct": kind, "sig": signature}

    def fetch(self, name: str, query: dict[str, str]) -> Answer:
        """What the picture host says to a link: `name` is the last part of its path."""
        task = self._tasks.get(name.partition("_sample.")[0])
        if task is None or task.linked_at is None:
            return Answer(404)
        now, rules = self.now(), self.rules
        try:
            hop = int(query.pop("hop", "0"))
            expires = int(datetime.strptime(query.get("se", ""), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())
        except ValueError:
            return Answer(403)
        if query != self._signed(task, expires) or now > expires:
            return Answer(403)
        if now - task.linked_at < rules.link_404_for:
            return Answer(404)
        if now - task.linked_at < rules.link_403_for:
            return Answer(403)
        if hop < rules.link_redirects:
            return Answer(302, location="?" + urlencode({**query, "hop": hop + 1}))
        return Answer(302, location=rules.link_to) if rules.link_to else Answer(200, task=task)

    def deliver(self, task: Task) -> None:
        """A client has taken every byte of the picture."""
        task.submit.delivered += 1
        if task.submit.collected_at is None:
            task.submit.collected_at = self.now()

    def watch_key(self, request: str, headers: list[str]) -> None:
        """Note a request to the picture host that carries a key, in whatever place.

        Args:
            request: path and query.
            headers: `name: value`, names in small letters.
        """
        carried = "\n".join((request, *headers))
        known = any(key in carried for key in self.keys if len(key) >= 8)  # a shorter one may stand anywhere
        if known or any(line.startswith("x-key:") for line in headers):
            self.key_leaks.append(request)

    # The books

    def ledger(self) -> dict[str, Any]:
        """Every submit, what they come to, and where the key was seen."""
        for task in self._tasks.values():
            over = task.ends_at <= self.now()
            task.submit.ended = ("Gone" if task.gone else task.end) if over else None
        totals = {
            "billed": sum(submit.billed for submit in self.submits),
            "delivered": sum(submit.delivered > 0 for submit in self.submits),
            "in_flight": len(self._active()),
            "peak": self._peak,
            "unanswered_peak": self._unanswered_peak,
            "key_leaks": len(self.key_leaks),
        }
        return {"submits": [vars(each) for each in self.submits], "totals": totals, "key_leaks": self.key_leaks}


def _used_prompt(path: str, asked: dict[str, Any]) -> str:
    """pro and max rewrite unless told not to, flex too, klein never."""
    switch, default = ("prompt_upsampling", True) if "flex" in path else ("disable_pup", False)
    value = asked.get(switch)
    on = (default if value is None else value) == ("flex" in path)
    return f"In rich detail: {asked['prompt']}" if on and "klein" not in path else str(asked["prompt"])
