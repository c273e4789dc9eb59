"""Costs, as the settings want them: prices, the ledger, budgets and alerts, put together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import get_args

from antiphon.app.assistant import open_assistant
from antiphon.app.embedded import at_hand
from antiphon.app.local import Spoken
from antiphon.conversation.calls import call_of
from antiphon.conversation.config import Providers
from antiphon.conversation.events import Event
from antiphon.errors import AntiphonError, SettingsError
from antiphon.providers.metering import Kind, counting
from antiphon.sessions.offer import UNBILLED, Assistant
from antiphon.sessions.readiness import ModelProgress
from antiphon.settings import ProviderChoice, Settings
from antiphon.store.valkey import open_valkey
from antiphon.telemetry.logs import logger
from antiphon.usage.alerts import Alerts, stale_alert
from antiphon.usage.allowance import BudgetAllowance, Means
from antiphon.usage.bookkeeper import Bookkeeper
from antiphon.usage.books import Books
from antiphon.usage.budgets import Limits
from antiphon.usage.calendar import Calendar, WallClock, time_zone
from antiphon.usage.entry import SERVER
from antiphon.usage.estimate import TurnSize, most
from antiphon.usage.money import micros
from antiphon.usage.prices import PriceBook, open_prices
from antiphon.usage.sqlite_books import SqliteBooks
from antiphon.usage.totals import Totals
from antiphon.usage.valkey_books import ValkeyBooks
from antiphon.usage.webhook import Webhook, open_webhook

NOTHING_NEEDED = (ProviderChoice("scripted"),)
"""For the parts that are cheap already: nothing is loaded for them."""

LOOK_AT_DAY_S = 3_600.0
"""How often it is looked whether a new day has begun, should the clock be moved meanwhile."""

log = logger(__name__)


@dataclass
class Costs:
    """What the server does with money while it runs."""

    settings: Settings
    keeper: Bookkeeper
    webhook: Webhook | None = None
    assistant: Assistant | None = None
    cheaper: Providers | None = None
    """Who goes on when a budget is spent; None until they are loaded, or where nobody can."""

    def __post_init__(self) -> None:
        means = Means(
            reservation=self.reservation,
            cheaper=lambda: self.cheaper,
            refuse_unpriced=self.settings.unpriced == "refuse",
        )
        self.allowance = BudgetAllowance(self.keeper, means, alert=self.keeper.alert)
        self._reservation: tuple[object, int] = (None, 0)

    def applied(self, assistant: Assistant) -> Assistant:
        """The assistant, paid for. Raises SettingsError when it has a model without a price and that is refused."""
        self.assistant = assistant
        self._reservation = (None, 0)
        today = self.keeper.calendar.today()
        for kind, name in _chosen(assistant.providers).items():
            if self.settings.unpriced == "refuse" and not self.keeper.prices.knows(name, kind, today):
                raise SettingsError(_refusal(f"ANTIPHON_{kind.upper()}", name))
        self._tell_stale(today)
        return replace(
            assistant,
            allowance=self.allowance,
            price=self.keeper.cost,
            unaffordable=self.allowance.refusal,
        )

    def billed(self, tell: Callable[[str, Event], None]) -> AbstractContextManager[None]:
        """What is asked inside, and in tasks that are begun inside, is the server's own, unless a conversation asks.
        ``tell``: all who listen to conversations, so that they count the same."""
        return counting(lambda attempt: tell(SERVER, call_of(attempt)))

    async def watch_prices(self) -> None:
        """Tell of prices that are over or old, on each new day, until cancelled."""
        day = self.keeper.calendar.today()
        while True:
            await asyncio.sleep(min(self.keeper.calendar.until_tomorrow_s(), LOOK_AT_DAY_S))
            if day != (day := self.keeper.calendar.today()):
                self._tell_stale(day)

    def _tell_stale(self, today: date) -> None:
        """Of those that may be asked, whether a call was priced yet or not."""
        prices, names = self.keeper.prices, set[str]().union(*self._who().values())
        tariffs = [prices.tariff(name, way, today) for name in names for way in ("batch", "stream")]
        rows = {row for tariff in tariffs for row in tariff.values()}
        if stale := prices.stale(today, rows):
            self.keeper.alert(stale_alert(", ".join(sorted({found.row.name for found in stale}))))

    def totals(self) -> Totals:
        """This moment's spending."""
        waiting, failed = (self.webhook.waiting, self.webhook.failed) if self.webhook else (0, 0)
        found = self.keeper.totals()
        return replace(
            found,
            # Without anybody cheaper, turns are refused instead.
            degraded=found.degraded and self.cheaper is not None,
            alerts_waiting=waiting,
            alerts_failed=failed,
        )

    def reservation(self) -> int:
        """Micro-dollars that a turn may cost at the most."""
        today = self.keeper.calendar.today()
        if self._reservation[0] != today:
            size = TurnSize(
                context_tokens=self.settings.context_tokens,
                reply_tokens=self.settings.reply_tokens,
                tries=1 if self.settings.speculation == "off" else 2,
            )
            self._reservation = today, most(self.keeper.prices, self._who(), size, today)
        return self._reservation[1]

    def _who(self) -> Mapping[Kind, set[str]]:
        """Everyone who may be asked: those in the settings, and those whom they turned out to be."""
        kinds: tuple[Kind, ...] = get_args(Kind)
        who = {kind: {str(choice) for choice in getattr(self.settings, kind)} for kind in kinds}
        if self.assistant is not None:
            for kind, name in _chosen(self.assistant.providers).items():
                who[kind].add(name)
            for state in self.assistant.health():
                who[state.kind].add(state.provider)
        return who

    async def keep_cheaper(self, assistant: Assistant) -> None:
        """Load those who go on when a budget is spent, and keep them until cancelled."""
        if not self.keeper.limits or self.settings.budget_past != "degrade":
            await asyncio.Event().wait()
        dear, own = dear_parts(self.settings), assistant.providers
        loaded_already = at_hand(self.settings, own, dear)
        for part, alone in loaded_already.items():
            own = mixed(own, alone, frozenset({part}))
        left = dear - loaded_already.keys()
        if not left:
            self.cheaper = own
            await asyncio.Event().wait()
        try:
            async with open_assistant(cheaper_settings(self.settings, left), _loading) as loaded:
                self.cheaper = mixed(own, loaded.providers, left)
                log.info("cheaper models ready", parts=sorted(dear))
                await asyncio.Event().wait()
        except AntiphonError as error:
            log.error("no cheaper models: past a budget turns will be refused", problem=error.message)
            await asyncio.Event().wait()
        finally:
            self.cheaper = None


def check_costs(settings: Settings) -> None:
    """What can be known to be wrong before anything is loaded. Raises SettingsError."""
    today = Calendar(time_zone(settings.time_zone), wall=time.time, steady=time.monotonic).today()
    prices = prices_of(settings)
    if settings.unpriced == "refuse":
        for kind in get_args(Kind):
            for choice in getattr(settings, kind):
                if choice.model and not prices.knows(str(choice), kind, today):
                    raise SettingsError(_refusal(f"ANTIPHON_{kind.upper()}", str(choice)))


def prices_of(settings: Settings) -> PriceBook:
    """The price book. Raises SettingsError."""
    return open_prices(settings.prices, compute_hour_usd=settings.compute_hour_usd)


def limits_of(settings: Settings) -> Limits:
    """The budgets."""
    return Limits(
        day=micros(settings.budget_day_usd),
        session=micros(settings.budget_session_usd),
        caller=micros(settings.budget_key_usd),
    )


@asynccontextmanager
async def open_books(settings: Settings) -> AsyncIterator[Books]:
    """Where the ledger is kept: with a shared store there, else in the data folder."""
    if settings.store == "memory":
        books = SqliteBooks(settings.data)
        try:
            yield books
        finally:
            books.close()
    else:
        password = settings.store_password.get_secret_value()
        async with open_valkey(settings.store, password=password) as valkey:
            shared = ValkeyBooks(valkey, folder=settings.data)
            try:
                yield shared
            finally:
                shared.close()


@asynccontextmanager
async def open_costs(settings: Settings, *, wall: WallClock = time.time) -> AsyncIterator[Costs]:
    """Everything about money, until it is left; then what is not written yet is. Raises SettingsError."""
    prices, limits, zone = prices_of(settings), limits_of(settings), time_zone(settings.time_zone)
    async with AsyncExitStack() as stack:
        books = await stack.enter_async_context(open_books(settings))
        webhook = None
        if url := settings.alert_webhook.get_secret_value():
            opening = open_webhook(
                url,
                wall=wall,
                secret=settings.alert_secret.get_secret_value(),
                form=settings.alert_form,
            )
            webhook = await stack.enter_async_context(opening)
        keeper = Bookkeeper(
            books=books,
            prices=prices,
            calendar=Calendar(zone, wall=wall, steady=time.monotonic),
            limits=limits,
            past=settings.budget_past,
            alert=Alerts(*([webhook] if webhook else []), steady=time.monotonic),
            retention_days=settings.ledger_days,
        )
        await keeper.load()
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(keeper.run())
            costs = Costs(settings, keeper, webhook)
            watching = tasks.create_task(costs.watch_prices())
            try:
                yield costs
            finally:
                watching.cancel()
                # Also when the server is told to stop, by a cancel: what was spent is written first.
                keeper.stop()
                await asyncio.wait([writing])


def dear_parts(settings: Settings) -> frozenset[Spoken]:
    """The parts for which somebody cheaper is to be loaded."""
    cheap: Mapping[Spoken, ProviderChoice] = {
        "asr": settings.budget_asr[0],
        "llm": settings.budget_llm[0],
        "tts": settings.budget_tts[0],
    }
    own: Mapping[Spoken, ProviderChoice] = {part: getattr(settings, part)[0] for part in cheap}
    return frozenset(
        part for part, choice in cheap.items() if own[part] != choice and own[part].provider not in UNBILLED
    )


def cheaper_settings(settings: Settings, dear: frozenset[Spoken]) -> Settings:
    """The settings of an assistant that has only the cheaper parts; the voice is of the usual ones."""
    chains = {"asr": settings.budget_asr, "llm": settings.budget_llm, "tts": settings.budget_tts}
    parts = {part: chain if part in dear else NOTHING_NEEDED for part, chain in chains.items()}
    return settings.model_copy(update={**parts, "ear": "scripted", "voice": ""})


def mixed(own: Providers, cheap: Providers, dear: frozenset[Spoken]) -> Providers:
    """The session's own ear, and the cheaper ones where there are."""
    return replace(
        own,
        recognizer=cheap.recognizer if "asr" in dear else own.recognizer,
        language_model=cheap.language_model if "llm" in dear else own.language_model,
        synthesizer=cheap.synthesizer if "tts" in dear else own.synthesizer,
    )


def _chosen(providers: Providers) -> dict[Kind, str]:
    return {
        "asr": providers.recognizer.info.name,
        "llm": providers.language_model.info.name,
        "tts": providers.synthesizer.info.name,
    }


def _refusal(setting: str, name: str) -> str:
    return (
        f"{setting}: {name} has no price, and ANTIPHON_UNPRICED is refuse. Add a row for it to your price file "
        "(ANTIPHON_PRICES); `antiphon prices` lists those there are."
    )


def _loading(progress: ModelProgress) -> None:
    if progress.stage == "failed":
        log.warning("cheaper model", model=progress.id, problem=progress.message)
