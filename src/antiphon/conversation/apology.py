"""What is said when no answer can be had, or may be paid for."""

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

FAREWELLS = {
    "en": "Sorry, I have to stop here: today's budget is used up. Goodbye!",
    "es": "Lo siento, tengo que parar aquí: el presupuesto de hoy se ha agotado. ¡Adiós!",
    "fr": "Désolé, je dois m'arrêter ici : le budget du jour est épuisé. Au revoir !",
    "de": "Entschuldigung, ich muss hier aufhören: Das Budget für heute ist aufgebraucht. Auf Wiederhören!",
    "it": "Mi dispiace, devo fermarmi qui: il budget di oggi è esaurito. Arrivederci!",
    "pt": "Desculpe, tenho de parar aqui: o orçamento de hoje acabou. Até logo!",
    "hi": "माफ़ कीजिए, मुझे यहीं रुकना होगा: आज का बजट समाप्त हो गया है। नमस्ते!",
}


def farewell(language: str) -> str:
    """What is said when the money set aside is spent, in the user's language, in English where there is none."""
    return FAREWELLS.get(language, FAREWELLS["en"])


def apology(language: str) -> str:
    """The apology in the user's language, in English where there is none."""
    return APOLOGIES.get(language, APOLOGIES["en"])
