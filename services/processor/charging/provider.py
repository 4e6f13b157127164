"""The configuration of one provider: its address, the contract of its answers, its credential."""

from dataclasses import dataclass, field

from tollgate.processor.charging.provider_contract import CONTEST, ProviderContract
from tollgate.runtime.credential import Credential


@dataclass(frozen=True, slots=True)
class Provider:
    """`url` is its base address, without a slash at the end."""

    url: str
    contract: ProviderContract = CONTEST
    credential: Credential | None = field(default=None)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each request to it."""
        return self.credential.headers if self.credential is not None else {}
