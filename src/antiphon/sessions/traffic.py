"""What comes in from each address, over all its connections together."""

from __future__ import annotations

from dataclasses import dataclass

from antiphon.sessions.address_limits import LimitPolicy, address_group
from antiphon.sessions.rates import Rate, Rates


class Traffic:
    """Of all addresses, at this replica: to ask the store about each message would take longer than the message."""

    def __init__(self, policy: LimitPolicy) -> None:
        self._policy = policy
        self._rates = Rates()

    def of(self, address: str) -> AddressPace | None:
        """What a connection from there is held to beside its own pace; None where there is no limit."""
        limits = self._policy.of(address)
        if limits.messages is None and limits.bytes is None:
            return None
        group = address_group(address)
        return AddressPace(
            rates=self._rates, messages=(f"m:{group}", limits.messages), bytes=(f"b:{group}", limits.bytes)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPace:
    """Of one address. See ``protocol.pace.Pace``."""

    rates: Rates
    messages: tuple[str, Rate | None]
    bytes: tuple[str, Rate | None]

    def admit(self, size: int, *, now: float) -> float:
        """See Pace."""
        for (name, rate), cost in ((self.messages, 1), (self.bytes, size)):
            if rate is not None and (wait_s := self.rates.spend(name, rate, now=now, cost=cost)):
                return wait_s
        return 0.0
