"""The front door: the page, health, and ``/ws/voice``. Only this package speaks the wire format."""
