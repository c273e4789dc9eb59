"""The words that symbols become when a reply is spoken, by language. Data for ``speakable``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

Currency = tuple[str, str, str]
"""One, many, and the hundredth part; empty where nobody says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenWords:
    """How one language says what is written in signs."""

    code: str = ""
    """Said in place of a code block."""
    at: str = "@"
    dot: str = "."
    percent: str = ""
    """Empty: amounts are left to the voice."""
    degrees: str = "°"
    currencies: Mapping[str, Currency] = field(default_factory=dict)
    scales: Mapping[str, str] = field(default_factory=dict)
    """``$3k``, ``$2M``"""
    units: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    english: bool = False


_UNITS = {
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "m/s": ("meter per second", "meters per second"),
    "mph": ("mile per hour", "miles per hour"),
    "km": ("kilometer", "kilometers"),
    "m": ("meter", "meters"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "km²": ("square kilometer", "square kilometers"),
    "km2": ("square kilometer", "square kilometers"),
    "m²": ("square meter", "square meters"),
    "m2": ("square meter", "square meters"),
    "cm²": ("square centimeter", "square centimeters"),
    "m³": ("cubic meter", "cubic meters"),
    "m3": ("cubic meter", "cubic meters"),
    "ft": ("foot", "feet"),
    "sq ft": ("square foot", "square feet"),
    "kg": ("kilogram", "kilograms"),
    "g": ("gram", "grams"),
    "mg": ("milligram", "milligrams"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "L": ("liter", "liters"),
    "ml": ("milliliter", "milliliters"),
    "mL": ("milliliter", "milliliters"),
    "KB": ("kilobyte", "kilobytes"),
    "kB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"),
    "Mbps": ("megabit per second", "megabits per second"),
    "Gbps": ("gigabit per second", "gigabits per second"),
    "ms": ("millisecond", "milliseconds"),
    "s": ("second", "seconds"),
    "sec": ("second", "seconds"),
    "secs": ("second", "seconds"),
    "min": ("minute", "minutes"),
    "mins": ("minute", "minutes"),
    "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"),
    "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"),
    "V": ("volt", "volts"),
    "W": ("watt", "watts"),
    "kW": ("kilowatt", "kilowatts"),
    "MW": ("megawatt", "megawatts"),
    "kWh": ("kilowatt hour", "kilowatt hours"),
}

_EN = SpokenWords(
    code="The code is on your screen.",
    at="at",
    dot="dot",
    percent="percent",
    degrees="degrees",
    currencies={
        "$": ("dollar", "dollars", "cents"),
        "€": ("euro", "euros", "cents"),
        "£": ("pound", "pounds", "pence"),
        "¥": ("yen", "yen", ""),
        "₹": ("rupee", "rupees", "paise"),
    },
    scales={"k": "thousand", "M": "million", "bn": "billion", "B": "billion"},
    units=_UNITS,
    english=True,
)


def _others(names: str) -> dict[str, Currency]:
    """``$ one many € one many …`` as a mapping."""
    words = names.split()
    return {words[i]: (words[i + 1], words[i + 2], "") for i in range(0, len(words), 3)}


_BY_LANGUAGE = {
    "en": _EN,
    "es": SpokenWords(
        code="El código está en tu pantalla.",
        at="arroba",
        dot="punto",
        percent="por ciento",
        degrees="grados",
        currencies=_others("$ dólar dólares € euro euros £ libra libras ¥ yen yenes ₹ rupia rupias"),
    ),
    "fr": SpokenWords(
        code="Le code est affiché à l'écran.",
        at="arobase",
        dot="point",
        percent="pour cent",
        degrees="degrés",
        currencies=_others("$ dollar dollars € euro euros £ livre livres ¥ yen yens ₹ roupie roupies"),
    ),
    "de": SpokenWords(
        code="Der Code steht auf dem Bildschirm.",
        at="ät",
        dot="Punkt",
        percent="Prozent",
        degrees="Grad",
        currencies=_others("$ Dollar Dollar € Euro Euro £ Pfund Pfund ¥ Yen Yen ₹ Rupie Rupien"),
    ),
    "it": SpokenWords(
        code="Il codice è sullo schermo.",
        at="chiocciola",
        dot="punto",
        percent="per cento",
        degrees="gradi",
        currencies=_others("$ dollaro dollari € euro euro £ sterlina sterline ¥ yen yen ₹ rupia rupie"),
    ),
    "pt": SpokenWords(
        code="O código está na tela.",
        at="arroba",
        dot="ponto",
        percent="por cento",
        degrees="graus",
        currencies=_others("$ dólar dólares € euro euros £ libra libras ¥ iene ienes ₹ rúpia rúpias"),
    ),
    "hi": SpokenWords(
        code="कोड आपकी स्क्रीन पर है।",
        at="ऐट",
        dot="डॉट",
        percent="प्रतिशत",
        degrees="डिग्री",
        currencies=_others("$ डॉलर डॉलर € यूरो यूरो £ पाउंड पाउंड ¥ येन येन ₹ रुपया रुपये"),
    ),
}


@cache
def spoken_words(language: str) -> SpokenWords:
    """The words of a language (ISO 639-1); English when it is unknown. A language without words here loses
    its markup and code blocks, and its signs are left to the voice."""
    code = language.lower().split("-")[0]
    return _EN if code in ("", "auto") else _BY_LANGUAGE.get(code, SpokenWords())
