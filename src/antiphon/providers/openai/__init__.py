"""OpenAI, and everything that speaks its formats: Ollama, llama.cpp, vLLM, Groq, Speaches, LocalAI, Azure."""

from antiphon.providers.openai.chat import OpenAILanguageModel
from antiphon.providers.openai.endpoint import Endpoint
from antiphon.providers.openai.speech import OpenAISynthesizer
from antiphon.providers.openai.transcription import OpenAIRecognizer

__all__ = ["Endpoint", "OpenAILanguageModel", "OpenAIRecognizer", "OpenAISynthesizer"]
