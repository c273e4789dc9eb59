"""Turns text as a model writes it into text that a voice can say; the screen shows the original.

Markup goes, links and code are said shortly, symbols, money and units become words. English gets all of it;
other languages get markup, links, money, percent and degrees; the rest is left to the voice, which knows its
language.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from antiphon.conversation.spoken_words import SpokenWords, spoken_words

Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]

NUMBER = r"\d+(?:[.,]\d+)*"

_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\U00002600-\U000027bf\U00002b00-\U00002bff\U0001f1e6-\U0001f1ff\u2190-\u21ff\u2300-\u23ff"
    "\ufe0e\ufe0f\u200d\u20e3\U000e0020-\U000e007f]+"
)
_EMOTICON = re.compile(r"(?<!\S)[:;=]['-]?[)(DPp/|](?!\S)")
_FENCE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)", re.DOTALL)
_LEADING_JUNK = re.compile(r"^(?:[\s\"'”’»)\]}*_`~,;:!?…—–]|\.(?!\d))+")
_SPACES = re.compile(r"\s+")

_MARKUP: tuple[Rule, ...] = (
    (re.compile(r"!\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"\[([^\]]+)\]\([^)]*\)"), r"\1"),
    (re.compile(r"<(https?://[^>]+|[^@\s>]+@[^>\s]+)>"), r"\1"),
    (re.compile(r"</?[a-zA-Z][^<>]*>"), " "),
    (re.compile(r"\[\^?\d+\]"), ""),  # footnotes and citations
    (re.compile(r"^\s{0,3}(?:#{1,6}\s+|>\s?)+", re.MULTILINE), ""),
    (re.compile(r"^\s*[-*+•]\s+(?:\[[ xX]\]\s+)?", re.MULTILINE), ""),
    (re.compile(r"^\s*(?:[-*_]\s*){3,}$", re.MULTILINE), ""),
    (re.compile(r"^[\s|:+-]*-{3,}[\s|:+-]*$", re.MULTILINE), ""),
    (re.compile(r"^\s*\|\s*|\s*\|\s*$", re.MULTILINE), ""),
    (re.compile(r"\s*\|\s*"), ", "),
    (re.compile(r"`+"), ""),
    (re.compile(r"\*\*+|__+|~~+"), ""),
    (re.compile(r"(?<![\w*])\*(?=\S)|(?<=\S)\*(?![\w*])"), ""),
    (re.compile(r"(?<!\w)_(?=\S)|(?<=\S)_(?!\w)"), ""),
    (re.compile(r"(?<=\w)_(?=\w)"), " "),
    (re.compile(r"\\([\\`*_{}\[\]()#+.!|-])"), r"\1"),
)

_ADDRESS = re.compile(
    r"(?P<mail>[\w.+-]+@[\w-]+(?:\.[\w-]+)+)"
    r"|(?:https?://)?(?:www\.)(?P<host>[\w-]+(?:\.[\w-]+)+)(?:[/?#:][^\s,;)\]]*)?"
    r"|https?://(?P<host2>[\w-]+(?:\.[\w-]+)*)(?:[/?#:][^\s,;)\]]*)?"
)

_CURRENCY_BEFORE = re.compile(
    rf"(?P<sign>US\$|[$€£¥₹])\s?(?P<number>{NUMBER})(?P<scale>\s?(?:k|bn|million|billion|trillion|[MB])\b)?"
)
_CURRENCY_AFTER = re.compile(rf"(?P<number>{NUMBER})\s?(?P<sign>[€£¥₹$])(?!\w)")
_PERCENT = re.compile(rf"(?P<number>{NUMBER})\s?%")
_DEGREES = re.compile(rf"(?P<number>{NUMBER})\s?°\s?(?P<scale>[CF])?(?!\w)")

_UNIT = re.compile(
    rf"(?P<number>{NUMBER})\s?(?P<unit>km/h|m/s|kWh|kHz|MHz|GHz|Hz|km²|km2|cm²|m²|m2|m³|m3|km|cm|mm|kg|mg|ml|mL|lbs?|oz|mph"
    r"|GB|MB|KB|kB|TB|Mbps|Gbps|ms|hrs?|mins?|secs?|sq ft|ft|kW|MW|[mgLVWs](?![\w/]))(?!\w)"
)
_CLOCK = re.compile(
    r"\b(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?!:?\d)(?:\s?(?P<half>[aApP])\.?[mM]\b\.?)?"
)
_HALF_DAY = re.compile(r"\b(?P<hour>\d{1,2})\s?(?P<half>[aApP])\.?[mM]\b\.?")
_FRACTIONS = {
    "1/2": "one half",
    "1/3": "one third",
    "2/3": "two thirds",
    "1/4": "one quarter",
    "3/4": "three quarters",
}
_GLYPHS = {"½": "one half", "⅓": "one third", "⅔": "two thirds", "¼": "one quarter", "¾": "three quarters"}

_ENGLISH: tuple[Rule, ...] = (
    (re.compile(r"\be\.g\.,?", re.IGNORECASE), "for example,"),
    (re.compile(r"\bi\.e\.,?", re.IGNORECASE), "that is,"),
    (re.compile(r"\betc\.(?=\s+[a-z,]|[,;)])"), "et cetera"),
    (re.compile(r"\betc\."), "et cetera."),
    (re.compile(r"\bvs\.?(?!\w)"), "versus"),
    (re.compile(r"\bapprox\."), "approximately"),
    (re.compile(r"\bw/o\b"), "without"),
    (re.compile(r"(?<!\w)w/(?=\s)"), "with"),
    (re.compile(r"\bDr\.(?=\s+[A-Z])"), "Doctor"),
    (re.compile(r"\bProf\.(?=\s+[A-Z])"), "Professor"),
    (re.compile(r"\bSt\.(?=\s+[A-Z])"), "Saint"),
    (re.compile(r"\bNo\.\s?(?=\d)"), "number "),
    (re.compile(r"#(?=\d)"), "number "),
    (re.compile(r"(?<!\w)#(?=\w)"), "hashtag "),
    (re.compile(r"\b24/7\b"), "24 7"),
    (re.compile(r"(?<![\d/])[123]/[234](?![\d/])"), lambda m: _FRACTIONS.get(m.group(), m.group())),
    (re.compile(r"(?P<whole>\d?)(?P<glyph>[½⅓⅔¼¾])"), lambda m: _glyph(m)),
    (re.compile(r"(?<=\w)²"), " squared"),
    (re.compile(r"(?<=\w)³"), " cubed"),
    (re.compile(r"√\s?(?=\d)"), "the square root of "),
    (re.compile(r"±\s?"), "plus or minus "),
    (re.compile(r"(?<![\w.])[-−](?=\d)"), "minus "),
    (re.compile(rf"(?P<from>\b{NUMBER})\s?–\s?(?P<to>{NUMBER})(?!\s?[-–]?\d)"), r"\g<from> to \g<to>"),
    (re.compile(r"(?<![\d-])(?P<from>\d{1,2})-(?P<to>\d{1,3})(?![\d-])"), lambda m: _range(m)),
    (re.compile(r"(?<=\d)\s?[×x*]\s?(?=\d)"), " times "),
    (re.compile(r"(?<=\d)\s?÷\s?(?=\d)"), " divided by "),
    (re.compile(r"(?<=\w)\s\+\s(?=\w)|(?<=\d)\+(?=\d)"), " plus "),
    (re.compile(r"(?<=\d)\+(?!\w)"), " or more"),
    (re.compile(r"\s?(?:≈|~)\s?(?=\d)"), " about "),
    (re.compile(r"\s?≠\s?"), " is not equal to "),
    (re.compile(r"\s?(?:≤|<=)\s?(?=\d)"), " at most "),
    (re.compile(r"\s?(?:≥|>=)\s?(?=\d)"), " at least "),
    (re.compile(r"\s<\s(?=\w)"), " less than "),
    (re.compile(r"\s>\s(?=\w)"), " greater than "),
    (re.compile(r"(?<=\w)\s?=\s?(?=[\w-])"), " equals "),
    (re.compile(r"\s?(?:→|->|=>)\s?"), " to "),
    (re.compile(r"\bC\+\+"), "C plus plus"),
    (re.compile(r"\b([CF])#"), r"\1 sharp"),
    (re.compile(r"(?<=\w)\s?&\s?(?=\w)"), " and "),
    (re.compile(r"\band/or\b"), "and or"),
    (re.compile(r"(?<=[A-Za-z])/(?=[A-Za-z])"), " or "),
    (re.compile(r"(?<=\d)k\b"), " thousand"),
    (re.compile(r"\s@\s"), " at "),
)


def speakable(text: str, language: str = "en") -> str:
    """``text`` (a clause of a reply) as the voice shall say it; empty when there is nothing to say.
    ``language`` is ISO 639-1, empty when unknown."""
    words = spoken_words(language)
    said = _FENCE.sub(f" {words.code} ", text)
    for pattern, replacement in _MARKUP:
        said = pattern.sub(replacement, said)
    said = _ADDRESS.sub(lambda m: _address(m, words), said)
    if words.english:
        for pattern, replacement in _times():
            said = pattern.sub(replacement, said)
    said = _amounts(said, words)
    if words.english:
        for pattern, replacement in _ENGLISH:
            said = pattern.sub(replacement, said)
    said = _EMOTICON.sub("", _EMOJI.sub(" ", said))
    return _tidied(said)


def _tidied(text: str) -> str:
    """Dashes as pauses, no stray marks at the front, single spaces."""
    text = re.sub(r"\s*(?:—|\s–\s|\s--?\s)\s*", ", ", text)
    text = _SPACES.sub(" ", _LEADING_JUNK.sub("", text)).strip()
    text = re.sub(r"\s+(?=[,.;:!?])", "", text)
    text = re.sub(r",(?:\s*,)+", ",", text)
    return text if any(char.isalnum() for char in text) else ""


def _address(match: re.Match[str], words: SpokenWords) -> str:
    """ "me at example dot com"; of a web address only the host is said."""
    if mail := match.group("mail"):
        name, host = mail.rsplit("@", 1)
        return f"{_dotted(name, words)} {words.at} {_dotted(host, words)}"
    host = match.group("host") or match.group("host2")
    rest = match.group()[match.group().find(host) + len(host) :]
    ending = rest[-1] if rest and rest[-1] in ".!?" else ""
    return _dotted(host, words) + ending


def _dotted(name: str, words: SpokenWords) -> str:
    return name.replace(".", f" {words.dot} ")


def _amounts(text: str, words: SpokenWords) -> str:
    """Money, percent, degrees, and in English units."""
    if not words.percent:
        return text
    text = _CURRENCY_BEFORE.sub(lambda m: _money(m, words), text)
    text = _CURRENCY_AFTER.sub(lambda m: _money(m, words), text)
    text = _PERCENT.sub(rf"\g<number> {words.percent}", text)
    text = _DEGREES.sub(lambda m: _degrees(m, words), text)
    return _UNIT.sub(lambda m: _unit(m, words), text) if words.units else text


def _money(match: re.Match[str], words: SpokenWords) -> str:
    number, sign = match.group("number"), match.group("sign")[-1]
    scale = (match.groupdict().get("scale") or "").strip()
    one, many, cents = words.currencies[sign]
    if scale:
        return f"{number} {words.scales.get(scale, scale)} {many}"
    whole, point, fraction = number.partition(".") if words.english else (number, "", "")
    if point and len(fraction) == 2 and cents:
        if int(fraction) == 0:
            return f"{whole} {one if whole == '1' else many}"
        if whole == "0":
            return f"{int(fraction)} {cents}"
        return f"{whole} {one if whole == '1' else many} {int(fraction)}"
    return f"{number} {one if number == '1' else many}"


def _degrees(match: re.Match[str], words: SpokenWords) -> str:
    scale = {"C": " Celsius", "F": " Fahrenheit"}.get(match.group("scale") or "", "")
    return f"{match.group('number')} {words.degrees}{scale}"


def _unit(match: re.Match[str], words: SpokenWords) -> str:
    one, many = words.units[match.group("unit")]
    return f"{match.group('number')} {one if match.group('number') == '1' else many}"


def _times() -> tuple[Rule, ...]:
    return ((_CLOCK, _clock), (_HALF_DAY, _half_day))


def _clock(match: re.Match[str]) -> str:
    """``10:00`` → "10 o'clock", ``5:05 pm`` → "5 oh 5 p.m."."""
    hour, minute, half = int(match.group("hour")), match.group("minute"), match.group("half")
    after = f" {half.lower()}.m." if half else ""
    if minute == "00":
        return f"{hour}{after}" if half else f"{hour} o'clock"
    return f"{hour} {f'oh {minute[1]}' if minute[0] == '0' else minute}{after}"


def _half_day(match: re.Match[str]) -> str:
    return f"{match.group('hour')} {match.group('half').lower()}.m."


def _range(match: re.Match[str]) -> str:
    """``5-10`` is a range, ``20-5`` is not."""
    rising = int(match.group("from")) < int(match.group("to"))
    return f"{match.group('from')} to {match.group('to')}" if rising else match.group()


def _glyph(match: re.Match[str]) -> str:
    said = _GLYPHS[match.group("glyph")]
    return f"{match.group('whole')} and {said.replace('one', 'a', 1)}" if match.group("whole") else said
