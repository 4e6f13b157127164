"""The projector's settings, from the environment."""

from pathlib import Path

import environ

from tollgate.contract.events import ProviderName
from tollgate.projector.live.files import ModelFiles
from tollgate.runtime.credential import (
    Credential,
    default_header,
    default_header_file,
    either,
    fallback_header,
    fallback_header_file,
)
from tollgate.runtime.settings import (
    ServiceSettings,
    archive_dir,
    default_provider_url,
    fallback_provider_url,
    folder,
    header_value,
    known_ids_filter_mb,
    log_duplicate_window_seconds,
    seconds,
    setting,
    switch,
    whole_number,
)

_LOG_BYTES_MIN, _LOG_BYTES_MAX = 1_048_576, 2**63 - 1


def _log_bytes(text: str) -> int:
    number = int(text) if text.isascii() and text.lstrip("-").isdigit() else 0
    if number != -1 and not _LOG_BYTES_MIN <= number <= _LOG_BYTES_MAX:
        raise ValueError(text)
    return number


@environ.config(prefix="")
class Settings(ServiceSettings):
    """Settings of the running projector. Times are in seconds."""

    data_dir: Path = folder("./data", what="The folder whose subfolder `projector` holds the read model.")
    archive_dir: Path | None = archive_dir()
    summary_settle_seconds: float = seconds(
        0.75, at_least=0, at_most=60, what="How long a summary waits for answers that are due inside its window."
    )
    known_ids_filter_mb: int = known_ids_filter_mb()
    projector_standby: bool = switch(
        False, what="Whether another projector may run on the same log: then one answers, and the other follows."
    )
    log_duplicate_window_seconds: int = log_duplicate_window_seconds()
    log_bytes_max: int = setting(
        -1,
        _log_bytes,
        f"-1, or a whole number of at least {_LOG_BYTES_MIN}",
        what="The largest size of the log in bytes; with -1 only the broker's own limit holds.",
    )
    log_replicas: int = whole_number(
        1, at_least=1, at_most=5, what="Copies of the log, and of the bucket `HEALTH`, in a broker cluster."
    )

    @property
    def model_files(self) -> ModelFiles:
        return ModelFiles(self.data_dir / "projector")

    @property
    def model_path(self) -> Path:
        """The file that is the read model now; a rebuild changes it."""
        return self.model_files.current

    @property
    def snapshots_path(self) -> Path:
        return self.data_dir / "projector" / "snapshots"


@environ.config(prefix="")
class VerifySettings:
    """How the providers are asked for their records."""

    payment_processor_url_default: str = default_provider_url()
    payment_processor_url_fallback: str = fallback_provider_url()
    payment_processor_header_default: Credential | None = default_header()
    payment_processor_header_fallback: Credential | None = fallback_header()
    payment_processor_header_file_default: Credential | None = default_header_file()
    payment_processor_header_file_fallback: Credential | None = fallback_header_file()
    payment_processor_token: str = header_value("123", what="The token for the administration of both providers.")
    verify_concurrency: int = whole_number(
        16, at_least=1, at_most=1_000, what="How many questions to both providers are under way at once."
    )
    verify_questions_per_second: int = whole_number(
        200, at_least=1, at_most=100_000, what="How many questions a second both providers are asked together."
    )

    @property
    def urls(self) -> dict[ProviderName, str]:
        return {"default": self.payment_processor_url_default, "fallback": self.payment_processor_url_fallback}

    @property
    def headers(self) -> dict[ProviderName, dict[str, str]]:
        """The headers of every request to each provider. Raises SettingError when a credential is given twice."""
        default = either(self.payment_processor_header_default, self.payment_processor_header_file_default, "default")
        fallback = either(
            self.payment_processor_header_fallback, self.payment_processor_header_file_fallback, "fallback"
        )
        return {
            "default": default.headers if default else {},
            "fallback": fallback.headers if fallback else {},
        }
