"""The console's errors."""

from tollgate.contract.errors import TollgateError


class UnanswerableError(TollgateError):
    """A question that gets no answer: the HTTP status, and the reason."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
