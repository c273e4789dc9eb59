"""The composition root: settings → providers → server. The only place that chooses a vendor."""

from __future__ import annotations

import asyncio

from antiphon.app.access import address_policy, ways_in
from antiphon.app.assistant import open_assistant
from antiphon.app.capacity import measured_capacity
from antiphon.app.observing import observability_of, watch_costs
from antiphon.app.progress import ProgressLog
from antiphon.app.scripted import check_scripted
from antiphon.app.shared import (
    entrance_stores,
    notice_board,
    replica_name,
    session_backing,
    shared_valkey,
)
from antiphon.app.usage import Costs, check_costs, open_costs
from antiphon.conversation.config import Providers
from antiphon.errors import AntiphonError, ModelError
from antiphon.server.application import Application, FrontDoor
from antiphon.server.origins import is_loopback
from antiphon.server.voice import VoiceLimits
from antiphon.sessions.audience import Audience
from antiphon.sessions.readiness import ModelProgress, Readiness
from antiphon.settings import Settings
from antiphon.telemetry.logs import logger
from antiphon.telemetry.turn_log import TurnLog

FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 60.0
"""Between attempts to load what could not be loaded: a full disk or a lost network is often mended
meanwhile."""

log = logger(__name__)


def build_application(settings: Settings) -> Application:
    """The server for these settings; it starts loading once it is served. Raises SettingsError."""
    check_scripted(settings)
    check_costs(settings)
    valkey = shared_valkey(settings)
    name = replica_name()
    audience = Audience()
    watching = observability_of(settings)

    async def load(readiness: Readiness) -> None:
        async with open_costs(settings) as costs:
            watch_costs(watching, costs)
            turn_log = TurnLog(transcripts=settings.log_transcripts)
            with audience.joined(costs.keeper, costs.allowance, turn_log):
                with costs.billed(audience.told):
                    await keep_loaded(settings, readiness, costs)

    return Application(
        FrontDoor(
            max_sessions=50 if settings.max_sessions == "auto" else settings.max_sessions,
            allowed_origins=settings.allowed_origins,
            loopback_only=is_loopback(settings.host),
            ways=ways_in(settings),
            addresses=address_policy(settings),
            trusted_proxies=settings.trusted_proxies,
            operator_token=settings.operator_token.get_secret_value(),
            metrics_networks=settings.metrics_networks,
            page=settings.page,
            max_loop_lag_s=settings.max_loop_lag_ms / 1000,
            limits=VoiceLimits(
                max_message_bytes=settings.max_message_bytes,
                start_timeout_s=settings.start_timeout_s,
                idle_timeout_s=settings.idle_timeout_s,
                drain_grace_s=settings.drain_grace_s,
                resume_grace_s=settings.resume_grace_s,
                messages_per_s=settings.messages_per_s,
                bytes_per_s=settings.bytes_per_s,
                session_max_s=settings.session_max_s,
                recordings=settings.recordings,
            ),
        ),
        load,
        audience,
        watching,
        session_backing(settings, valkey, name),
        entrance_stores(valkey),
        notice_board(valkey, name),
    )


async def keep_loaded(settings: Settings, readiness: Readiness, costs: Costs | None = None) -> None:
    """Load, and keep loaded until cancelled; what fails is tried again after a while."""
    wait_s = FIRST_RETRY_S
    while True:
        readiness.begin()
        progress = ProgressLog(readiness.report)
        try:
            async with open_assistant(settings, progress) as assistant:
                if settings.max_sessions == "auto":
                    readiness.capacity = await measured_capacity(assistant.providers)
                readiness.open(costs.applied(assistant) if costs else assistant)
                log.info("ready", **provider_names(assistant.providers))
                await (costs.keep_cheaper(assistant) if costs else asyncio.Event().wait())
        except AntiphonError as error:
            log.error("not ready", problem=error.message, retry_in_s=wait_s)
            if isinstance(error, ModelError):
                readiness.report(ModelProgress(id=error.model_id, stage="failed", message=error.message))
            readiness.fail(error)
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 2, LONGEST_RETRY_S)


def provider_names(providers: Providers) -> dict[str, str]:
    """Who does what, as logs say it."""
    return {
        "asr": providers.recognizer.info.name,
        "llm": providers.language_model.info.name,
        "tts": providers.synthesizer.info.name,
        "ear": providers.voice_detector.info.name,
    }
