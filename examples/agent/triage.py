"""An agent: any object with a method such as ``ainvoke`` or ``run``."""


class Triage:
    """Sorts messages; a real one would ask a model."""

    def __init__(self, urgent: list[str]) -> None:
        self.urgent = urgent

    async def ainvoke(self, payload: dict[str, str]) -> dict[str, str]:
        text = payload["text"].lower()
        queue = "urgent" if any(word in text for word in self.urgent) else "normal"
        return {"queue": queue}
