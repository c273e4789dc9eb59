"""What is said when no answer can be had."""

from __future__ import annotations

APOLOGIES = {
    "en": "Sorry, I can't answer just now. Please try again in a moment.",
    "es": "Lo siento, ahora mismo no puedo responder. Inténtalo de nuevo en un momento.",
    "fr": "Désolé, je ne peux pas répondre pour l'instant. Réessayez dans un moment.",
    "de": "Entschuldigung, ich kann gerade nicht antworten. Bitte versuche es gleich noch einmal.",
    "it": "Mi dispiace, ora non posso rispondere. Riprova tra un momento.",
    "pt": "Desculpe, não consigo responder agora. Tente novamente daqui a pouco.",
    "hi": "माफ़ कीजिए, मैं अभी जवाब नहीं दे सकता। कृपया थोड़ी देर में फिर कोशिश करें।",
}


def apology(language: str) -> str:
    """The apology in the user's language, in English where there is none."""
    return APOLOGIES.get(language, APOLOGIES["en"])
