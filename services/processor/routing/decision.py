"""The router's decisions, each with its reason."""

from dataclasses import dataclass

from tollgate.contract.events import ProviderName
from tollgate.contract.fees import saved_cents


@dataclass(frozen=True, slots=True)
class Route:
    """Charge at `provider`. This takes a place there until `observe` or `withdraw` gives it back."""

    provider: ProviderName
    why: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Put the payment back to the queue, and decide again after `seconds` at the earliest."""

    seconds: float
    why: str


Decision = Route | Wait


def gain(provider: ProviderName, amount_cents: int) -> str:
    """What charging there saves or costs against the other provider, for this amount."""
    saved = saved_cents(provider, amount_cents)
    return f"saves {saved} cents" if saved >= 0 else f"costs {-saved} cents more"
