"""The projector's settings, from the environment."""

from pathlib import Path

import environ

from contract.events import ProcessorName
from projector.files import ModelFiles
from runtime.errors import FatalError


def _at_least_one(text: str | int) -> int:
    number = int(text) if str(text).isdecimal() else 0
    if number < 1:
        raise FatalError(f"{text!r} is not a whole number of at least 1")
    return number


@environ.config(prefix="")
class Settings:
    """Times are seconds."""

    nats_url: str = environ.var("nats://127.0.0.1:4222", help="The broker.")
    heartbeat_file: str = environ.var("", help="A file that is touched every two seconds while all is well.")
    nats_ca_file: str = environ.var("", help="Who signed the broker's certificate; the system's authorities if empty.")
    data_dir: Path = environ.var("./data", converter=Path, help="The read model lies in its folder `projector`.")
    summary_settle_seconds: float = environ.var(
        0.1, converter=float, help="How long a summary waits for attempts that are open inside its window."
    )
    log_duplicate_window_seconds: int = environ.var(
        30, converter=int, help="How long the broker remembers message ids (about 200 bytes of its memory for each)."
    )
    log_bytes_max: int = environ.var(-1, converter=int, help="The largest size of the log; -1 is the store's limit.")
    log_replicas: int = environ.var(1, converter=int, help="Copies of the log in a broker cluster.")

    @property
    def model_files(self) -> ModelFiles:
        return ModelFiles(self.data_dir / "projector")

    @property
    def model_path(self) -> Path:
        """The file that is the read model now; a rebuild makes another one."""
        return self.model_files.current

    @property
    def snapshots_path(self) -> Path:
        return self.data_dir / "projector" / "snapshots"


@environ.config(prefix="")
class VerifySettings:
    """How the payment processors are asked what is in their books."""

    payment_processor_url_default: str = environ.var("http://127.0.0.1:8001", help="The cheap processor.")
    payment_processor_url_fallback: str = environ.var("http://127.0.0.1:8002", help="The dear processor.")
    payment_processor_token: str = environ.var("123", help="For its administration.")
    verify_concurrency: int = environ.var(16, converter=_at_least_one, help="Questions at once.")
    verify_questions_per_second: int = environ.var(200, converter=_at_least_one, help="To both processors together.")

    @property
    def urls(self) -> dict[ProcessorName, str]:
        return {"default": self.payment_processor_url_default, "fallback": self.payment_processor_url_fallback}
