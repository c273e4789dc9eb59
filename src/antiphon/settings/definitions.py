"""Every setting, with its unit, default, limits and a line of help. ``docs/settings.md`` is made from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    SerializerFunctionWrapHandler,
)
from pydantic.functional_serializers import WrapSerializer

from antiphon.settings.access import (
    AccessModes,
    Algorithms,
    ApiKeys,
    BytesPerAddress,
    KeySetUrl,
    Networks,
    Password,
    PerAddress,
    Sessions,
    Token,
)
from antiphon.settings.domain import check_domain
from antiphon.settings.providers import ProviderChoice, parse_chain
from antiphon.settings.vendors import (
    KNOWN_SERVERS,
    OPENAI_URL,
    OpenAIUrl,
    Timeouts,
    VendorKey,
    VendorUrl,
    WebhookUrl,
)


def _parse_list(value: object) -> object:
    """Commas in the environment, a list in TOML."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(value) if isinstance(value, list) else value


def _check_store(value: str) -> str:
    if value != "memory" and not value.startswith(("valkey://", "valkeys://", "redis://", "rediss://")):
        raise ValueError("it must be memory, or the address of a Valkey such as valkey://127.0.0.1:6379")
    return value


def _check_origin(value: str) -> str:
    scheme, separator, host = value.partition("://")
    if not separator or scheme not in ("http", "https") or not host or "/" in host or host != host.lower():
        raise ValueError(
            f"{value!r} is not an origin; write it as browsers do: https://talk.example.org, in lower case"
        )
    return value


def _check_domain(value: str) -> str:
    return check_domain(value) if value else ""


def _expand(value: Path) -> Path:
    return value.expanduser()


def _as_text(value: Any, handler: SerializerFunctionWrapHandler) -> str:
    return ",".join(str(part) for part in value)


Chain = Annotated[tuple[ProviderChoice, ...], BeforeValidator(parse_chain), WrapSerializer(_as_text)]
Origin = Annotated[str, AfterValidator(_check_origin)]
Origins = Annotated[tuple[Origin, ...], BeforeValidator(_parse_list), WrapSerializer(_as_text)]
Store = Annotated[str, AfterValidator(_check_store)]
Domain = Annotated[str, AfterValidator(_check_domain)]
Folder = Annotated[Path, AfterValidator(_expand)]


def setting(
    default: Any, help_text: str, *, unit: str = "", group: str, also: str = "", **limits: Any
) -> Any:
    """A setting: its default, a line of help, its unit (empty for names and switches), and its limits. ``also``: an
    environment variable of others that is read when ours is not set."""
    extra: dict[str, Any] = {"unit": unit, "group": group, "also": also}
    return Field(default, description=help_text, json_schema_extra=extra, **limits)


class Settings(BaseModel):
    """All settings, checked. Frozen: what the server started with is what it runs with."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    # ---- who hears, thinks and speaks
    profile: Literal["auto", "fast", "balanced"] = setting(
        "auto",
        "Which embedded models to use: `fast` answers soonest, `balanced` answers better, `auto` picks the "
        "better one that this machine's memory and cores serve well.",
        group="Models",
    )
    asr: Chain = setting(
        "local",
        "Who turns speech into text, as `provider:model`; after a comma, whom to use when that cannot start.",
        group="Models",
    )
    llm: Chain = setting(
        "local", "Who writes the replies, as `provider:model`, with fallbacks after commas.", group="Models"
    )
    tts: Chain = setting(
        "local", "Who speaks the replies, as `provider:model`, with fallbacks after commas.", group="Models"
    )
    ear: Literal["auto", "local", "scripted"] = setting(
        "auto",
        "Who notices speech and the end of a turn: the embedded models (`local`), or a loudness "
        "threshold (`scripted`). `auto` is `scripted` when asr, llm and tts all are; where onnxruntime is not "
        "installed, as in the `slim` image, Silero VAD notices speech all the same, and words and silence end a turn.",
        group="Models",
    )
    models: Folder = setting(
        "~/.cache/antiphon/models", "Folder where embedded models are kept.", group="Models"
    )
    baked_models: Folder | None = setting(
        None,
        "Second folder of embedded models, looked at first and only read: those that are inside a container image.",
        group="Models",
    )
    threads: int = setting(
        0,
        "Processor cores that the embedded models may use; 0 is all of them.",
        unit="cores",
        ge=0,
        le=256,
        group="Models",
    )

    # ---- the conversation
    language: str = setting(
        "auto",
        "Language spoken when a caller does not say: ISO 639-1 (`en`, `de`, …), or `auto` to hear it.",
        pattern="^(auto|[a-z]{2,3})$",
        group="Conversation",
    )
    asr_prompt: str = setting(
        "",
        "Names and jargon that callers say and the recogniser should expect, with commas: `Antiphon, Frau Nguyễn, "
        "latte macchiato`.",
        max_length=800,  # Whisper takes 224 tokens, Deepgram 500, Groq 896 characters
        group="Conversation",
    )
    voice: str = setting(
        "",
        "Voice used when a caller does not choose; empty is the synthesiser's own.",
        max_length=100,
        group="Conversation",
    )
    speed: float = setting(
        1.0,
        "Pace of the voice when a caller does not choose; 1 is its own.",
        unit="times",
        ge=0.5,
        le=2.0,
        group="Conversation",
    )
    instructions: str = setting(
        "",
        "Who the assistant is and how it answers, instead of the built-in instructions. A caller's own are "
        "added to them.",
        max_length=20_000,
        group="Conversation",
    )
    context_tokens: int = setting(
        2000,
        "How much of the conversation the language model is shown; the oldest turns are dropped first, the "
        "instructions never.",
        unit="tokens",
        ge=200,
        le=1_000_000,
        group="Conversation",
    )
    reply_tokens: int = setting(300, "Longest reply.", unit="tokens", ge=16, le=16_000, group="Conversation")
    temperature: float = setting(
        0.6,
        "How freely the language model picks its words; 0 is always the likeliest.",
        ge=0.0,
        le=2.0,
        group="Conversation",
    )

    # ---- turn taking
    turns: Literal["quick", "balanced", "patient", "silence"] = setting(
        "balanced",
        "How long to wait before answering: `quick`, `balanced` and `patient` weigh sound, words and "
        "silence; `silence` waits for plain silence of silence_ms.",
        group="Turn taking",
    )
    silence_ms: int = setting(
        500,
        "With `turns = silence`: the silence that ends a turn.",
        unit="ms",
        ge=100,
        le=5000,
        group="Turn taking",
    )
    speculation: Literal["off", "asr", "llm", "tts"] = setting(
        "tts",
        "How far to work ahead while a turn may not be over yet: not at all, transcribe, also write, or also "
        "speak (held back until sure). More is faster to answer and costs more work thrown away.",
        group="Turn taking",
    )
    barge_in: bool = setting(True, "Whether speaking over a reply stops it.", group="Turn taking")

    # ---- the server
    host: str = setting(
        "127.0.0.1",
        "Address to listen on; 0.0.0.0 is every network of this machine.",
        min_length=1,
        group="Server",
    )
    port: int = setting(8000, "Port to listen on.", ge=1, le=65535, group="Server")
    allowed_origins: Origins = setting(
        (),
        "Web origins whose pages may connect, with commas (`https://talk.example.org`); empty: only the page "
        "that this server serves (docs/security.md). Clients that are no browser send no origin and are let in.",
        group="Server",
    )
    max_message_bytes: int = setting(
        65_536,
        "Largest message taken from a caller; a larger one closes the connection.",
        unit="bytes",
        ge=4096,
        le=1_048_576,
        group="Limits",
    )
    start_timeout_s: float = setting(
        10.0, "How long a new connection may take to send `start`.", unit="s", ge=0.1, le=300, group="Limits"
    )
    idle_timeout_s: float = setting(
        600.0,
        "A conversation in which nobody says, types or hears anything for so long is ended; told a minute before.",
        unit="s",
        ge=1,
        le=86_400,
        group="Limits",
    )
    drain_grace_s: float = setting(
        15.0,
        "When told to stop: how long replies being spoken may go on before connections are closed.",
        unit="s",
        ge=0,
        le=600,
        group="Server",
    )
    data: Folder = setting(
        "~/.local/share/antiphon",
        "Folder for what the server itself keeps, the ledger among it.",
        group="Server",
    )
    recordings: Folder | None = setting(
        None,
        "Folder to save each session's flight recording in, for `antiphon replay`. Unset: nothing spoken is "
        "ever written to disk.",
        group="Server",
    )
    certificate: Folder | None = setting(
        None,
        "File of the certificate (PEM) that the proxy in front presents: the log and `antiphon doctor` say when it is "
        "about to end or is not for `domain`; /metrics has its end.",
        group="Server",
    )
    domain: Domain = setting(
        "",
        "The name that people type, without https:// or a port. Whom the certificate must be for.",
        group="Server",
    )
    page: Folder | None = setting(
        None,
        "Folder with a page of your own: its files take the place of those inside that have the same name, "
        "`index.html` among them.",
        group="Server",
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "What is logged. Speech, text and keys never are.", group="Server"
    )
    log_format: Literal["auto", "json", "pretty"] = setting(
        "auto",
        "`json` is one object a line, `pretty` is for reading; `auto` is pretty in a terminal.",
        group="Server",
    )
    log_transcripts: bool = setting(
        False,
        "Whether the log holds what callers said and what was answered. Off: nothing spoken or typed is ever logged.",
        group="Server",
    )
    max_loop_lag_ms: int = setting(
        250,
        "How late the server's event loop may be, for a tenth of the last five seconds, before new conversations are "
        "told to wait, so that those there go on well; 0: however late.",
        unit="ms",
        ge=0,
        le=60_000,
        group="Server",
    )

    # ---- who may talk
    access: AccessModes = setting(
        "open",
        "Who may talk. `open`: anybody who reaches the server, for a private network. `password`: whoever knows it, "
        "and the page asks for it. `bearer`: your backend asks for tickets with an API key. `jwt`: whoever has a token "
        "of your identity provider. See docs/security.md.",
        group="Access",
    )
    password: Password = setting("", "With `access = password`: the password.", group="Access")
    api_keys: ApiKeys = setting(
        "",
        "With `access = bearer`: the keys and their names. A hash, as `antiphon key` prints it, keeps the key itself "
        "off this machine.",
        group="Access",
    )
    jwt_jwks_url: KeySetUrl = setting(
        "",
        "With `access = jwt`: where your identity provider publishes its keys (JWKS); `http://` on this machine only.",
        max_length=2000,
        group="Access",
    )
    jwt_issuer: str = setting("", "The `iss` that tokens must have.", max_length=2000, group="Access")
    jwt_audience: str = setting("", "The `aud` that tokens must have.", max_length=2000, group="Access")
    jwt_algorithms: Algorithms = setting(
        "RS256,ES256", "Signatures that are taken; only those of public keys can be.", group="Access"
    )
    jwt_name_claim: str = setting(
        "sub",
        "The claim that names the user, for budgets and lists: `user:NAME`.",
        min_length=1,
        max_length=100,
        group="Access",
    )
    operator_token: Token = setting(
        "",
        "Opens what only operators may see and do: /operator, /metrics, /api/sessions. Unset: those are off.",
        group="Access",
    )
    trusted_proxies: Networks = setting(
        (),
        "Proxies in front of this server, whose X-Forwarded-For and X-Forwarded-Proto are believed. Unset: nobody's.",
        group="Access",
    )

    # ---- how much of it
    max_sessions: Sessions = setting(
        50,
        "Conversations held at once; further callers are told to try again. `auto` measures this machine at start.",
        unit="sessions",
        group="Limits",
    )
    address_sessions: PerAddress = setting(
        "auto",
        "Conversations at once from one address (of IPv6, from one /64); 0 is without limit. `auto` is 10, and without "
        "limit for this machine and private networks.",
        unit="sessions",
        group="Limits",
    )
    address_connects_per_minute: PerAddress = setting(
        "auto",
        "New connections a minute from one address; 0 is without limit. `auto` is 60, and without limit for this "
        "machine and private networks.",
        unit="a minute",
        group="Limits",
    )
    address_messages_per_s: PerAddress = setting(
        "auto",
        "Messages a second taken from all connections of one address together, at each replica, ten seconds' worth at "
        "once; 0 is without limit. `auto` is half of what as many connections as `address_sessions` may send (1000), "
        "and without limit where that has none, for this machine and for private networks.",
        unit="a second",
        group="Limits",
    )
    address_bytes_per_s: BytesPerAddress = setting(
        "auto",
        "Bytes a second from all connections of one address together, likewise (1,250,000).",
        unit="bytes/s",
        group="Limits",
    )
    messages_per_s: int = setting(
        200,
        "Messages a second taken on one connection, ten seconds' worth at once; a microphone sends 20 to 50.",
        unit="a second",
        ge=10,
        le=100_000,
        group="Limits",
    )
    bytes_per_s: int = setting(
        250_000,
        "Bytes a second taken on one connection, ten seconds' worth at once; a microphone at 48 kHz sends 96,000.",
        unit="bytes/s",
        ge=4096,
        le=100_000_000,
        group="Limits",
    )
    session_max_s: float = setting(
        7200.0,
        "How long a conversation may take; 0 is without limit. It is told a minute before, and may finish its reply.",
        unit="s",
        ge=0,
        le=604_800,
        group="Limits",
    )

    # ---- going on after a break: a lost connection, a restart, another replica
    resume_grace_s: float = setting(
        60.0,
        "How long a conversation whose connection was lost waits for its caller to come back.",
        unit="s",
        ge=0,
        le=3600,
        group="Resume and replicas",
    )
    store: Store = setting(
        "memory",
        "Where what replicas share is kept: `memory` for a single server, `valkey://host:6379` (`valkeys://` with "
        "TLS) for several, or to keep conversations through a restart.",
        group="Resume and replicas",
    )
    store_password: SecretStr = setting(
        "", "Password of the store; one in the address itself is taken too.", group="Resume and replicas"
    )
    store_away: Literal["admit", "refuse"] = setting(
        "admit",
        "What becomes of new callers while the store cannot be reached: `admit` them, without limits across replicas "
        "and without a place to resume elsewhere, or `refuse` them until it is back. Live conversations go on.",
        group="Resume and replicas",
    )
    lease_s: float = setting(
        1.5,
        "How long a replica that died without a word keeps its conversations from the others.",
        unit="s",
        ge=0.5,
        le=60,
        group="Resume and replicas",
    )

    # ---- providers: vendors and servers that speak their formats
    openai_api_key: VendorKey = setting(
        SecretStr(""), "Key for `openai`.", group="Providers", also="OPENAI_API_KEY"
    )
    openai_base_url: OpenAIUrl = setting(
        OPENAI_URL,
        "Where `openai` is: any server that speaks its formats, up to `/v1`.",
        group="Providers",
        also="OPENAI_BASE_URL",
    )
    openai_api_version: str = setting(
        "",
        "For Azure: the `api-version` to ask for; a model's name is then the deployment's. Other servers are not told.",
        max_length=40,
        group="Providers",
        also="OPENAI_API_VERSION",
    )
    openai_pcm_rate: int = setting(
        24_000,
        "Rate of the raw PCM that `openai`, or the server in its place, speaks in; OpenAI's own is 24000.",
        unit="Hz",
        ge=8000,
        le=48_000,
        group="Providers",
    )
    asr_base_url: OpenAIUrl = setting(
        "", "Where `openai` is when it transcribes; empty: as openai_base_url.", group="Providers"
    )
    asr_api_key: VendorKey = setting(
        SecretStr(""),
        "Key for the server at asr_base_url; without one for `openai`, or for the only server in `asr` that "
        "has no key setting of its own.",
        group="Providers",
    )
    llm_base_url: OpenAIUrl = setting(
        "", "Where `openai` is when it writes; empty: as openai_base_url.", group="Providers"
    )
    llm_api_key: VendorKey = setting(
        SecretStr(""),
        "Key for the server at llm_base_url; without one for `openai`, or for the only server in `llm` that "
        "has no key setting of its own.",
        group="Providers",
    )
    tts_base_url: OpenAIUrl = setting(
        "", "Where `openai` is when it speaks; empty: as openai_base_url.", group="Providers"
    )
    tts_api_key: VendorKey = setting(
        SecretStr(""),
        "Key for the server at tts_base_url; without one for `openai`, or for the only server in `tts` that "
        "has no key setting of its own.",
        group="Providers",
    )
    groq_api_key: VendorKey = setting(
        SecretStr(""), "Key for `groq`.", group="Providers", also="GROQ_API_KEY"
    )
    groq_base_url: OpenAIUrl = setting(KNOWN_SERVERS["groq"].base_url, "Where `groq` is.", group="Providers")
    ollama_base_url: OpenAIUrl = setting(
        KNOWN_SERVERS["ollama"].base_url, "Where `ollama` is.", group="Providers"
    )
    llamacpp_base_url: OpenAIUrl = setting(
        KNOWN_SERVERS["llamacpp"].base_url, "Where `llamacpp`, llama.cpp's server, is.", group="Providers"
    )
    vllm_base_url: OpenAIUrl = setting(KNOWN_SERVERS["vllm"].base_url, "Where `vllm` is.", group="Providers")
    speaches_base_url: OpenAIUrl = setting(
        KNOWN_SERVERS["speaches"].base_url, "Where `speaches` is.", group="Providers"
    )
    localai_base_url: OpenAIUrl = setting(
        KNOWN_SERVERS["localai"].base_url, "Where `localai` is.", group="Providers"
    )
    elevenlabs_api_key: VendorKey = setting(
        SecretStr(""), "Key for `elevenlabs`.", group="Providers", also="ELEVENLABS_API_KEY"
    )
    elevenlabs_base_url: VendorUrl = setting(
        "https://api.elevenlabs.io", "Where `elevenlabs` is; a proxy's address, say.", group="Providers"
    )
    elevenlabs_transport: Literal["websocket", "http"] = setting(
        "websocket",
        "How `elevenlabs` is asked: over WebSockets that stay open, or over HTTP for networks that let no WebSockets "
        "through.",
        group="Providers",
    )
    deepgram_api_key: VendorKey = setting(
        SecretStr(""), "Key for `deepgram`.", group="Providers", also="DEEPGRAM_API_KEY"
    )
    deepgram_base_url: VendorUrl = setting(
        "https://api.deepgram.com", "Where `deepgram` is; its EU address, say.", group="Providers"
    )
    anthropic_api_key: VendorKey = setting(
        SecretStr(""), "Key for `anthropic`.", group="Providers", also="ANTHROPIC_API_KEY"
    )
    anthropic_base_url: VendorUrl = setting(
        "https://api.anthropic.com",
        "Where `anthropic` is; a proxy's address, say.",
        group="Providers",
        also="ANTHROPIC_BASE_URL",
    )
    provider_timeouts: Timeouts = setting(
        "",
        "How long a provider may take to connect / to its first byte / between two pieces, in seconds: "
        "`ollama=2/60/20`, several with commas. Otherwise 5/10/6, and 2/60/20 for servers that load models.",
        max_length=1000,
        group="Providers",
    )

    # ---- resilience: providers that fail, stall or come back
    stall_asr_ms: int = setting(
        1300,
        "A recogniser that has not answered so long after the end of the speech is taken to have stalled, and the "
        "next in the chain is asked. One that is usually quicker is given less, a lone one 2.5 s or this.",
        unit="ms",
        ge=200,
        le=9_000,
        group="Resilience",
    )
    stall_llm_ms: int = setting(
        1300, "The same for a language model's first word.", unit="ms", ge=200, le=11_000, group="Resilience"
    )
    stall_tts_ms: int = setting(
        1100, "The same for a voice's first sound.", unit="ms", ge=200, le=7_000, group="Resilience"
    )
    stall_gap_ms: int = setting(
        1500,
        "Silence in the middle of a reply or its sound, after which another provider goes on from there.",
        unit="ms",
        ge=200,
        le=6_000,
        group="Resilience",
    )
    retry_budget_s: float = setting(
        6.0,
        "How long after the user has spoken providers may still be asked again. What one step of the turn (hearing, "
        "writing, speaking) took is not there for the next.",
        unit="s",
        ge=1,
        le=60,
        group="Resilience",
    )
    hedge: bool = setting(
        False,
        "Ask the language model a second time when its first word is later than its usual 95th percentile, and "
        "take whichever comes first. Both are billed.",
        group="Resilience",
    )
    breaker_failures: int = setting(
        4,
        "Failures in a row after which a provider is left alone for breaker_rest_s.",
        unit="failures",
        ge=1,
        le=5,
        group="Resilience",
    )
    breaker_rest_s: float = setting(
        4.0,
        "How long a provider that failed is left alone, before one small request finds out whether it is back. "
        "After a wrong key, a used-up quota or an unknown model it is longer.",
        unit="s",
        ge=0.5,
        le=8,
        group="Resilience",
    )
    speech_cache_mb: int = setting(
        16,
        "Memory for the sound of short sentences that are said again and again, apologies first; 0 keeps the "
        "apologies only.",
        unit="MB",
        ge=0,
        le=4_096,
        group="Resilience",
    )

    # ---- what it costs
    prices: Folder | None = setting(
        None,
        "File of your own prices, in the form of the shipped one; its rows win. `antiphon prices` lists and checks "
        "them. Unset: the shipped prices.",
        group="Costs",
    )
    unpriced: Literal["warn", "refuse"] = setting(
        "warn",
        "What becomes of a model without a price: `warn` counts its calls and says so once; `refuse` does not start "
        "with one, and refuses turns once one has answered.",
        group="Costs",
    )
    compute_hour_usd: float = setting(
        0.0,
        "What an hour of the embedded models' work costs you: the time their calls take counts.",
        unit="USD",
        ge=0,
        le=1000,
        group="Costs",
    )
    time_zone: str = setting(
        "UTC",
        "Time zone whose days costs and budgets go by, such as `Europe/Berlin`.",
        min_length=1,
        max_length=100,
        group="Costs",
    )
    budget_day_usd: float = setting(
        0.0, "What may be spent a day, by all callers together; 0: no limit.", unit="USD", ge=0, group="Costs"
    )
    budget_session_usd: float = setting(
        0.0, "What one conversation may cost; 0: no limit.", unit="USD", ge=0, group="Costs"
    )
    budget_key_usd: float = setting(
        0.0,
        "What each API key, or user with `access = jwt`, may spend a day; 0: no limit.",
        unit="USD",
        ge=0,
        group="Costs",
    )
    budget_past: Literal["warn", "degrade", "stop"] = setting(
        "degrade",
        "What happens when a budget is spent: `warn` only tells you; `degrade` goes on with the cheaper models below, "
        "for the rest of the day; `stop` ends turns politely and refuses new callers.",
        group="Costs",
    )
    budget_asr: Chain = setting(
        "local", "With `degrade`: who turns speech into text once a budget is spent.", group="Costs"
    )
    budget_llm: Chain = setting(
        "local", "With `degrade`: who writes the replies once a budget is spent.", group="Costs"
    )
    budget_tts: Chain = setting("local", "With `degrade`: who speaks once a budget is spent.", group="Costs")
    ledger_days: int = setting(
        400,
        "How long entries of the ledger are kept; 0: for ever.",
        unit="days",
        ge=0,
        le=36_500,
        group="Costs",
    )
    alert_webhook: WebhookUrl = setting(
        SecretStr(""),
        "Address that alerts about money are posted to, beside the log. Its path is as good as a password, so it is "
        "never shown.",
        group="Costs",
    )
    alert_form: Literal["generic", "slack"] = setting(
        "generic",
        "What is posted: `generic` JSON, or a message as Slack and its like take it.",
        group="Costs",
    )
    alert_secret: SecretStr = setting(
        "", "Key that posted alerts are signed with; empty: they are not.", group="Costs"
    )

    # ---- what operators can see
    metrics_networks: Networks = setting(
        "127.0.0.0/8,::1/128",
        "From where /metrics may be read without the operator token; everybody else needs it.",
        group="Observability",
    )
    traces: str = setting(
        "",
        "OpenTelemetry collector to send traces to, by OTLP over HTTP (`http://127.0.0.1:4318`). Unset: no traces.",
        pattern="^(https?://[^/].*)?$",
        max_length=2000,
        group="Observability",
    )
    trace_sample: float = setting(
        1.0, "The share of sessions that is traced.", ge=0.0, le=1.0, group="Observability"
    )
    transcripts: bool = setting(
        False,
        "Whether the words of the last 200 turns are shown on /operator and put into traces. They stay in memory.",
        group="Observability",
    )
    report_days: int = setting(
        30,
        "How long the figures for `antiphon report` are kept in the data folder; 0: they are not written. They hold "
        "nothing that was said.",
        unit="days",
        ge=0,
        le=3660,
        group="Observability",
    )

    # ---- scripted providers (tests, benchmarks, trying things without models)
    scripted_asr_ms: int = setting(
        300,
        "Scripted recogniser: time from the end of the sound to the transcript.",
        unit="ms",
        ge=0,
        le=60_000,
        group="Scripted providers",
    )
    scripted_transcript: str = setting(
        "What is the capital of France?",
        "Scripted recogniser: what it hears in any speech.",
        max_length=2000,
        group="Scripted providers",
    )
    scripted_llm_first_token_ms: int = setting(
        300,
        "Scripted language model: time to the first token.",
        unit="ms",
        ge=0,
        le=60_000,
        group="Scripted providers",
    )
    scripted_llm_tokens_per_s: float = setting(
        50.0,
        "Scripted language model: rate after the first token.",
        unit="tokens/s",
        gt=0,
        le=100_000,
        group="Scripted providers",
    )
    scripted_reply: str = setting(
        "",
        "Scripted language model: what it answers; empty: it says back what it heard.",
        max_length=20_000,
        group="Scripted providers",
    )
    scripted_tts_ms: int = setting(
        200,
        "Scripted voice: time to the first sound of a clause.",
        unit="ms",
        ge=0,
        le=60_000,
        group="Scripted providers",
    )
