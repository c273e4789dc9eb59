"""Chains whose providers fail: what the caller gets, from whom, how soon, and what is reported as asked."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from tests.providers.resilience.chains import (
    STORY,
    Reply,
    ask,
    ear,
    ears,
    hear,
    model,
    models,
    speak,
    voice,
    voices,
)

from antiphon.audio.level import level_dbfs
from antiphon.errors import ProviderError, ProviderRejected, ProviderUnavailable
from antiphon.providers.base import LanguageModel, LanguageOptions, Message, SpeechOptions, Text
from antiphon.providers.metering import counting
from antiphon.providers.resilience import (
    Chain,
    HealthBoard,
    Limits,
    ResilientLanguageModel,
    probe_while_open,
)
from antiphon.providers.scripted import Fault, ScriptedLanguageModel
from antiphon.providers.waiting import awaited_since

BAD_KEY = ProviderRejected("the key was refused", provider="one:language-model", cause="bad_key")


def now() -> float:
    return asyncio.get_running_loop().time()


# ---- nothing is wrong -------------------------------------------------------------------------------------


async def test_a_healthy_chain_gives_what_its_first_gives_at_once() -> None:
    reply = await ask(models(model(), model("two")))
    assert reply.text == STORY
    assert reply.first_s == pytest.approx(0.3)
    assert reply.outcomes() == [("one", "ok")]
    [attempt] = reply.attempts
    assert reply.finished is not None
    assert attempt.usage == reply.finished.usage
    assert attempt.model == "language-model"
    assert attempt.first_s == pytest.approx(0.3)
    speech = await speak(voices(voice(), voice("two")))
    assert (speech.said(), speech.outcomes()) == (STORY, [("one", "ok")])
    assert speech.attempts[0].usage.characters == len(STORY)
    hearing = await hear(ears(ear(), ear("two")))
    assert (hearing.heard(), hearing.outcomes()) == ("what is the time", [("one", "ok")])
    assert hearing.attempts[0].usage.audio_s == pytest.approx(1.2)


def test_who_they_are_is_the_first_and_that_they_take_care_of_retries() -> None:
    for chain in (models(model(), model("two")), voices(voice()), ears(ear())):
        assert chain.info.provider == "one"
        assert chain.info.resilient


# ---- before the answer ------------------------------------------------------------------------------------

PASSES: list[Fault] = ["fail", "empty", ProviderUnavailable("", provider="one", cause="overloaded")]


@pytest.mark.parametrize("fault", PASSES, ids=str)
async def test_a_failure_that_passes_costs_one_more_request(fault: Fault) -> None:
    reply = await ask(models(model(faults=[fault]), model("two")))
    assert reply.text == STORY
    assert [who for who, _ in reply.outcomes()] == ["one", "one"]
    assert reply.first_s is not None
    assert reply.first_s < 0.75


@pytest.mark.parametrize("fault", ["reject", BAD_KEY], ids=str)
async def test_a_refusal_goes_to_the_next_without_delay(fault: Fault) -> None:
    reply = await ask(models(model(faults=[fault]), model("two")))
    assert reply.text == STORY
    assert reply.first_s == pytest.approx(0.3)
    assert [who for who, _ in reply.outcomes()] == ["one", "two"]


async def test_a_stalled_provider_is_overtaken_by_the_next() -> None:
    reply = await ask(models(model(faults=["stall"]), model("two")))
    assert reply.text == STORY
    assert reply.first_s == pytest.approx(1.8)
    assert reply.outcomes() == [("one", "timeout"), ("two", "ok")]


async def test_once_it_is_known_how_quick_it_usually_is_a_stall_is_noticed_sooner() -> None:
    first = model()
    chain = models(first, model("two"))
    for _ in range(10):
        await ask(chain)
    first.faults.add("stall")
    reply = await ask(chain)
    assert reply.first_s == pytest.approx(1.2, abs=0.01)  # three times 0.3, and 0.3


async def test_a_late_answer_is_still_taken_when_it_comes_first() -> None:
    reply = await ask(models(model(first_token_s=1.6), model("two")))
    assert reply.first_s == pytest.approx(1.6)
    assert reply.outcomes() == [("two", "cancelled"), ("one", "ok")]


async def test_two_stalls_and_a_failure_still_end_in_an_answer() -> None:
    chain = models(model(faults=["stall"]), model("two", faults=["stall"]), model("three", faults=["fail"]))
    reply = await ask(chain)
    assert reply.text == STORY
    assert reply.outcomes().count(("three", "ok")) == 1


async def test_a_caller_who_waits_already_is_not_kept_waiting_as_long_again() -> None:
    chain = models(model(faults=["stall"]), model("two", faults=["stall"]), model("three"))
    reply = await ask(chain)
    assert reply.first_s == pytest.approx(
        1.5 + 0.6 * 0.75 * 1.5 + 0.3
    )  # three quarters of the budget are left


async def test_when_nobody_answers_the_first_reason_is_told() -> None:
    one = ProviderUnavailable("one is down", provider="one:language-model", cause="unreachable")
    chain = models(model(faults=[one, one]), model("two", faults=["fail", "fail"]))
    reply = Reply()
    with pytest.raises(ProviderUnavailable, match="one is down"):
        await ask(chain, reply)
    assert len(reply.attempts) == 4
    assert reply.seconds < 0.5


@pytest.mark.parametrize("links", [1, 2])
async def test_when_everybody_stalls_it_ends_all_the_same(links: int) -> None:
    chain = models(*(model(faults=["stall"] * 9) for _ in range(links)))
    reply = Reply()
    with pytest.raises(ProviderUnavailable, match="fell silent"):
        await ask(chain, reply)
    assert reply.seconds < {1: 5.5, 2: 4.0}[links]
    assert [outcome for _, outcome in reply.outcomes()] == ["timeout"] * 3


async def test_nobody_is_waited_for_long_when_nobody_else_can_be_asked() -> None:
    chain = models(model(faults=["stall", "fail", "fail", "fail"]))
    reply = Reply()
    with pytest.raises(ProviderUnavailable):
        await ask(chain, reply)
    assert reply.seconds < 5.5


@pytest.mark.parametrize("stalls", [1, 2])
async def test_alone_a_provider_that_stalls_is_asked_again_beside(stalls: int) -> None:
    limits = Limits(late_s=1.3)
    reply = await ask(models(model(faults=["stall"] * stalls), limits=limits))
    assert reply.text == STORY
    assert reply.first_s is not None
    assert reply.first_s < 2.5 + (stalls - 1) * 1.5 + 0.31
    assert sorted(reply.outcomes()) == [("one", "ok"), *[("one", "timeout")] * stalls]
    speech = await speak(voices(voice(faults=["stall"] * stalls), limits=limits))
    assert (speech.said(), len(speech.attempts)) == (STORY, stalls + 1)
    hearing = await hear(ears(ear(faults=["stall"] * stalls), limits=limits))
    assert (hearing.heard(), len(hearing.attempts)) == ("what is the time", stalls + 1)


async def test_a_stall_after_failures_is_not_waited_out() -> None:
    limits = Limits(late_s=1.3)
    reply = await ask(models(model(faults=["fail", "fail", "stall"]), limits=limits))
    assert reply.text == STORY
    assert reply.first_s is not None
    assert reply.first_s < 3.5
    of_two = models(model(faults=["fail", "fail"]), model("two", faults=["fail", "stall"]), limits=limits)
    reply = await ask(of_two)
    assert reply.text == STORY
    assert reply.first_s is not None
    assert reply.first_s < 2.0


async def test_alone_the_first_to_come_is_taken() -> None:
    """One that is slow every time is answered by its first request."""
    reply = await ask(models(model(first_token_s=5.0)))
    assert reply.first_s == pytest.approx(5.0)
    assert ("one", "ok") in reply.outcomes()


async def test_alone_one_that_is_usually_slow_is_not_asked_twice_every_time() -> None:
    chain = models(model(first_token_s=3.0))
    for _ in range(8):
        await ask(chain)
    reply = await ask(chain)
    assert reply.outcomes() == [("one", "ok")]


async def test_alone_a_server_that_loads_models_is_given_time() -> None:
    chain: Chain[LanguageModel] = Chain([model(first_token_s=7.0)], kind="llm", own_servers=("one",))
    reply = await ask(ResilientLanguageModel(chain))
    assert reply.first_s == pytest.approx(7.0)
    assert reply.outcomes() == [("one", "ok")]


async def test_alone_a_server_that_loads_for_too_long_is_an_error() -> None:
    chain: Chain[LanguageModel] = Chain([model(faults=["stall"])], kind="llm", own_servers=("one",))
    reply = Reply()
    with pytest.raises(ProviderUnavailable, match="fell silent"):
        await ask(ResilientLanguageModel(chain), reply)
    assert reply.seconds == pytest.approx(8.0)


# ---- what is left of the turn -----------------------------------------------------------------------------


async def test_what_the_steps_before_took_is_not_there_for_this_one() -> None:
    chain = models(model(faults=["stall"] * 2), model("two", faults=["stall"] * 2))
    await asyncio.sleep(10.0)
    reply = Reply()
    with pytest.raises(ProviderUnavailable), awaited_since(now() - 3.0):
        await ask(chain, reply)
    assert reply.seconds <= 3.0


async def test_the_longer_a_caller_waits_the_sooner_the_next_is_asked() -> None:
    await asyncio.sleep(10.0)
    with awaited_since(now() - 3.0):
        reply = await ask(models(model(faults=["stall"]), model("two")))
    assert reply.first_s == pytest.approx(0.5 * 1.5 + 0.3)


async def test_when_the_time_of_a_turn_is_up_a_step_is_still_tried() -> None:
    await asyncio.sleep(100.0)
    with awaited_since(now() - 60.0):
        reply = await ask(models(model(faults=["stall"]), model("two")))
    assert reply.text == STORY
    assert reply.first_s == pytest.approx(0.6 + 0.3)
    with awaited_since(now() - 60.0):
        reply = await ask(models(model(first_token_s=1.0)))
    assert reply.text == STORY


async def test_the_time_of_a_turn_begins_when_the_user_has_spoken() -> None:
    """However long that was: a recogniser that fails then is replaced."""
    hearing = await hear(ears(ear(faults=["stall"], streaming=True), ear("two")), every_s=3.0)
    assert hearing.heard() == "what is the time"
    assert sorted(hearing.outcomes()) == [("one", "timeout"), ("two", "ok")]


async def test_alone_a_provider_that_wants_a_moment_is_given_it() -> None:
    busy = ProviderUnavailable("slow down", provider="one", cause="rate_limit", retry_after_s=1.0)
    reply = await ask(models(model(faults=[busy])))
    assert reply.text == STORY
    assert reply.first_s == pytest.approx(1.3)


async def test_an_embedded_last_resort_is_waited_for() -> None:
    chain = models(model(faults=["stall"]), model("local", first_token_s=4.0))
    reply = await ask(chain)
    assert reply.text == STORY
    assert reply.first_s == pytest.approx(5.5)


# ---- inside the answer ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["cut", "hush"])
@pytest.mark.parametrize("after", range(1, 13))
async def test_a_reply_that_breaks_off_is_finished_without_repeating_a_word(fault: Fault, after: int) -> None:
    first, second = model(faults=[fault, fault], breaks_after=after), model("two")
    reply = await ask(models(first, second))
    assert reply.text == STORY
    assert reply.finished is not None


@pytest.mark.parametrize("before", [0, 1], ids=["alone", "last"])
async def test_an_embedded_last_resort_that_pauses_is_waited_for(before: int) -> None:
    """It only queues: others' work goes first, seconds of it on a busy machine."""
    vendors = ["reject"] * before
    slow = model("local", tokens_per_s=1 / 4.0)
    reply = await ask(models(*(model(faults=[fault]) for fault in vendors), slow))
    assert (reply.text, len(slow.calls)) == (STORY, 1)
    paused = voice("local", real_time_factor=4.0 / 0.2, chunk_s=0.2)
    chain = voices(*(voice(faults=[fault]) for fault in vendors), paused)
    assert (await speak(chain)).said() == STORY
    assert len(paused.calls) == 1
    assert chain.chain.links[-1].counts.failures == {}


@pytest.mark.parametrize(("pause_s", "who"), [(2.0, ["local"]), (3.0, ["local", "two"])])
async def test_an_embedded_model_with_another_behind_it_is_given_more_time(
    pause_s: float, who: list[str]
) -> None:
    reply = await ask(models(model("local", tokens_per_s=1 / pause_s), model("two")))
    assert reply.text == STORY
    assert [provider for provider, _ in reply.outcomes()] == who


async def test_an_embedded_model_is_not_asked_twice_at_a_time() -> None:
    """It is late, then pauses; the one behind it will not do."""
    slow = model("local", first_token_s=2.0, tokens_per_s=1 / 4.0)
    reply = await ask(models(slow, model("two", faults=["reject"])))
    assert reply.text == STORY
    assert reply.outcomes() == [("two", "rejected"), ("local", "ok")]


async def test_an_embedded_model_that_lost_is_asked_again_when_the_winner_breaks_off() -> None:
    slow, two = model("local", first_token_s=1.2), model("two", faults=["cut", "reject"], breaks_after=4)
    reply = await ask(models(slow, two, limits=Limits(late_s=0.8)))
    assert reply.text == STORY
    assert [who for who, _ in reply.outcomes()] == ["local", "two", "two", "local"]


async def test_a_continuation_keeps_the_prompt_as_it_was() -> None:
    first, second = model(faults=["cut", "reject"], breaks_after=4), model("two")
    reply = await ask(models(first, second))
    assert [who for who, _ in reply.outcomes()] == ["one", "one", "two"]
    asked = second.calls[0].messages
    assert asked[0].content == "Tell me a story."
    assert (asked[1].role, asked[1].content) == ("assistant", "Once upon a time")


async def test_what_was_written_before_it_broke_off_is_billed() -> None:
    reply = await ask(models(model(faults=["cut"], breaks_after=4)))
    assert [attempt.outcome for attempt in reply.attempts] == ["unavailable", "ok"]
    assert reply.attempts[0].usage.output_tokens == 4
    assert reply.attempts[0].usage.input_tokens == 4


@pytest.mark.parametrize("fault", ["cut", "hush"])
@pytest.mark.parametrize("gives_words", [True, False])
@pytest.mark.parametrize("after", [1, 5, 9, 14])
async def test_a_sentence_that_breaks_off_goes_on_with_the_next_word(
    fault: Fault, gives_words: bool, after: int
) -> None:
    first = voice(faults=[fault, fault], breaks_after=after, gives_words=gives_words, letter_s=0.065)
    second = voice("two")
    speech = await speak(voices(first, second))
    asked = [call.given for call in (*first.calls, *second.calls)]
    assert len(asked) >= 2
    for whole, rest in pairwise(asked):
        assert whole.endswith(rest), "it goes on, from the beginning of a word"
        sounded = whole[: round(after * first.chunk_s / first.letter_s)]
        assert abs(len(whole) - len(rest) - len(sounded)) <= len("daughters"), "where it broke off"
    assert speech.said().split()[0] == "Once"
    assert speech.said().split()[-1] == "daughters."
    assert speech.seconds < 5.0


async def test_word_times_go_on_where_the_first_voice_broke_off() -> None:
    speech = await speak(voices(voice(faults=["cut", "reject"], breaks_after=9), voice("two")))
    ends = [word.end_char for word in speech.words]
    assert ends == sorted(ends)
    assert ends[-1] == len(STORY)
    assert speech.words[-1].end_s == pytest.approx(len(speech.pcm) / 2 / 24_000, abs=0.05)


async def test_a_fallback_voice_speaks_at_the_rate_that_was_promised() -> None:
    """Coded speech does not survive resampling: its length and level do."""
    alone = await speak(voices(voice()))
    for rate in (16_000, 22_050, 44_100):
        speech = await speak(voices(voice(faults=["reject"]), voice("two", rate=rate)))
        assert len(speech.pcm) == pytest.approx(len(alone.pcm), rel=0.01)
        assert level_dbfs(speech.pcm) == pytest.approx(level_dbfs(alone.pcm), abs=3.0)


async def test_a_voice_that_a_fallback_does_not_know_becomes_its_own() -> None:
    refusal = ProviderRejected("no such voice", provider="one:voice", cause="unknown_voice")
    first, second = voice(faults=[refusal, "reject"], voices=()), voice("two")
    chain = voices(first, second)
    speech = await speak(chain, options=SpeechOptions(voice="nova"))
    assert speech.said() == STORY
    assert chain.chain.preferred.counts.failures["unknown_voice"] == 1
    assert (len(first.calls), len(second.calls)) == (2, 1)


# ---- hearing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["fail", "reject", "stall", "cut", "hush"])
@pytest.mark.parametrize("streams", [(True, True), (True, False), (False, True), (False, False)])
async def test_the_next_recogniser_hears_all_of_the_sound(fault: Fault, streams: tuple[bool, bool]) -> None:
    first = ear(faults=[fault, fault], streaming=streams[0])
    second = ear("two", streaming=streams[1])
    hearing = await hear(ears(first, second))
    assert hearing.heard() == "what is the time"
    assert [transcript.final for transcript in hearing.transcripts].count(True) == 1
    assert hearing.seconds < 2.0
    if not streams[0]:
        assert len(hearing.transcripts) == 1, "a batch recogniser has no interim words"


async def test_the_transport_and_the_sound_sent_are_reported() -> None:
    hearing = await hear(ears(ear(faults=["cut", "reject"], streaming=True), ear("two")))
    assert [attempt.transport for attempt in hearing.attempts] == ["stream", "stream", "batch"]
    assert all(attempt.usage.audio_s > 0 for attempt in hearing.attempts[:1])
    assert hearing.attempts[-1].usage.audio_s == pytest.approx(1.2)


async def test_a_recogniser_is_not_late_while_the_user_still_speaks() -> None:
    hearing = await hear(ears(ear(), ear("two")), every_s=3.0)
    assert hearing.outcomes() == [("one", "ok")]


# ---- hedging ----------------------------------------------------------------------------------------------


async def test_a_hedge_is_sent_when_the_first_token_is_later_than_usual() -> None:
    first = model()
    chain = models(first, limits=Limits(hedge=True))
    for _ in range(25):
        await ask(chain)
    first.faults.add("stall")
    reply = await ask(chain)
    assert reply.first_s == pytest.approx(0.62)
    assert sorted(reply.outcomes()) == [("one", "cancelled"), ("one", "ok")]
    assert chain.chain.preferred.counts.hedges == 1


async def test_without_the_setting_nothing_is_hedged() -> None:
    first = model()
    chain = models(first, model("two"))
    for _ in range(25):
        await ask(chain)
    first.faults.add("stall")
    reply = await ask(chain)
    assert chain.chain.preferred.counts.hedges == 0
    assert reply.outcomes() == [("one", "timeout"), ("two", "ok")]


# ---- a provider that dies and comes back ------------------------------------------------------------------


async def test_a_dead_provider_is_left_alone_within_five_failures() -> None:
    dead = model(faults=["fail"] * 100)
    chain = models(dead, model("two"))
    for _ in range(10):
        assert (await ask(chain)).text == STORY
    assert len(dead.calls) <= 5
    board = HealthBoard([chain.chain], now)
    assert [state.breaker for state in board()] != ["closed", "closed"]


@pytest.mark.parametrize("cause", ["rate_limit", "quota", "bad_key"])
async def test_a_reply_that_is_being_written_does_not_cancel_a_rest(cause: str) -> None:
    refusal = ProviderUnavailable("not now", provider="one", cause=cause, retry_after_s=30.0)
    first = model(tokens_per_s=5.0)
    chain = models(first, model("two"))
    async with asyncio.TaskGroup() as group:
        written = group.create_task(ask(chain))
        await asyncio.sleep(1.0)
        first.faults.add(refusal)
        assert (await ask(chain)).outcomes() == [("one", cause), ("two", "ok")]
    assert written.result().outcomes() == [("one", "ok")]
    assert chain.chain.preferred.breaker.open_until == pytest.approx(31.0)
    assert (await ask(chain)).outcomes() == [("two", "ok")]


@pytest.mark.parametrize("fault", ["fail", "stall", "cut"])
async def test_once_it_is_back_it_is_used_within_ten_seconds(fault: Fault) -> None:
    """It is probed meanwhile, so that no caller has to find out."""
    first = model(faults=[fault] * 500)
    chain = models(first, model("two"))
    served: list[tuple[float, str]] = []
    back_at = 20.0
    async with asyncio.TaskGroup() as group:
        probing = group.create_task(probe_while_open(chain))
        while now() < 60.0:
            if now() >= back_at:
                while first.faults.take() is not None:
                    pass
            reply = await ask(chain)
            assert reply.text == STORY
            served.append((now(), reply.outcomes()[-1][0]))
            await asyncio.sleep(0.2)
        probing.cancel()
    again = next(at for at, who in served if at > back_at and who == "one")
    assert again - back_at <= 10.0
    assert all(who == "one" for at, who in served if at > again)


async def test_a_probe_that_fails_in_a_new_way_does_not_end_the_watch() -> None:
    asked = 0

    def buggy(messages: object) -> str:
        nonlocal asked
        asked += 1
        if asked < 8:
            raise KeyError("choices")
        return STORY

    chain = models(ScriptedLanguageModel(buggy, provider="one"), model("two"))
    async with asyncio.TaskGroup() as group:
        probing = group.create_task(probe_while_open(chain))
        for _ in range(60):
            reply = await ask(chain)
            await asyncio.sleep(0.5)
        probing.cancel()
    assert reply.outcomes() == [("one", "ok")]


async def test_an_idle_chain_is_not_probed() -> None:
    dead = model(faults=["fail"] * 500)
    chain = models(dead, model("two"))
    for _ in range(3):
        await ask(chain)
    async with asyncio.TaskGroup() as group:
        probing = group.create_task(probe_while_open(chain))
        await asyncio.sleep(130.0)
        before = len(dead.calls)
        await asyncio.sleep(600.0)
        probing.cancel()
    assert len(dead.calls) == before


async def test_breakers_that_open_and_close_are_told_of() -> None:
    chain = models(model(faults=["fail"] * 6), model("two"))
    told: list[str] = []
    for link in chain.chain.links:
        link._watch = lambda state: told.append(f"{state.provider} {state.breaker}")
    for _ in range(5):
        await ask(chain)
    await asyncio.sleep(10.0)
    for _ in range(3):
        await ask(chain)
        await asyncio.sleep(6.0)
    assert told[0] == "one:language-model open"
    assert told[-1] == "one:language-model closed"


async def test_the_board_tells_how_they_do() -> None:
    chain = models(model(faults=["fail", BAD_KEY]), model("two"))
    await ask(chain)
    first, second = HealthBoard([chain.chain], now)()
    assert (first.calls, first.failures, first.retries, first.fallbacks) == (
        2,
        {"unavailable": 1, "bad_key": 1},
        1,
        1,
    )
    assert (first.breaker, first.last_error) == ("open", "the key was refused")
    assert second.position == 1
    assert second.first_ms == pytest.approx(300.0)


async def test_a_bug_of_an_adapter_costs_a_request_and_is_told_of() -> None:
    def buggy(messages: object) -> str:
        raise KeyError("choices")

    told: list[str] = []
    chain: Chain[LanguageModel] = Chain(
        [ScriptedLanguageModel(buggy, provider="one"), model("two")],
        kind="llm",
        broke=lambda name, bug: told.append(f"{name} {type(bug).__name__}"),
    )
    reply = await ask(ResilientLanguageModel(chain))
    assert reply.text == STORY
    assert reply.outcomes() == [("one", "broken"), ("two", "ok")]
    assert told == ["one:language-model KeyError"]


# ---- nothing is left behind -------------------------------------------------------------------------------


async def test_leaving_early_cancels_and_is_reported_once() -> None:
    first = model()
    chain = models(first, model("two"))
    reply = Reply()
    task = asyncio.ensure_future(ask(chain, reply))
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert reply.outcomes() == [("one", "cancelled")]
    assert reply.attempts[0].usage.output_tokens > 0
    assert first.calls[0].ended == "cancelled"
    assert chain.chain.preferred.counts.failures == {}


async def test_no_task_outlives_its_answer() -> None:
    before = len(asyncio.all_tasks())
    for faults in (["stall"], ["cut"], ["hush"], ["fail", "fail"], ["reject"]):
        await ask(models(model(faults=faults), model("two")))
        await speak(voices(voice(faults=faults), voice("two")))
        await hear(ears(ear(faults=faults), ear("two")))
    with pytest.raises(ProviderError):
        await ask(models(model(faults=["reject"])))
    assert len(asyncio.all_tasks()) == before


async def test_a_slow_reader_is_no_stall() -> None:
    chain = models(model(tokens_per_s=1000.0), model("two"))
    got = ""
    reply = Reply()
    with counting(reply.attempts.append):
        async with chain.reply([Message(role="user", content="x")], LanguageOptions()) as deltas:
            async for delta in deltas:
                if isinstance(delta, Text):
                    got += delta.text
                    await asyncio.sleep(3.0)
    assert got == STORY
    assert reply.outcomes() == [("one", "ok")]
