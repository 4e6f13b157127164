"""The projector's settings, from the environment."""

from pathlib import Path

import environ

from projector.files import ModelFiles


@environ.config(prefix="")
class Settings:
    """Times are seconds."""

    nats_url: str = environ.var("nats://127.0.0.1:4222", help="The broker.")
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
