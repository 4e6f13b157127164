"""The subjects of JetStream's API. Pure."""

from tollgate.contract.subjects import STREAM


def stream_api(verb: str, stream: str = STREAM) -> str:
    """The subject of a request about a stream, such as INFO, PURGE or MSG.GET."""
    return f"$JS.API.STREAM.{verb}.{stream}"


def consumer_api(verb: str, consumer: str) -> str:
    """The subject of a request about a consumer of the log, such as CREATE, DELETE or MSG.NEXT."""
    return f"$JS.API.CONSUMER.{verb}.{STREAM}.{consumer}"
