"""`projector verify` sends each provider the credential that it requires."""

from typing import get_args

from aiohttp import web

from tests.support.ports import free_port
from tollgate.contract.events import ProviderName
from tollgate.projector.settings import VerifySettings
from tollgate.projector.verify.provider_records import ProviderRecords
from tollgate.runtime.settings import load

PAYMENT = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"


async def test_every_question_carries_its_providers_credential_and_no_others() -> None:
    shown: set[tuple[str, str | None, str | None]] = set()

    async def answer(request: web.BaseRequest) -> web.Response:
        shown.add((request.path.split("/")[1], request.headers.get("X-Api-Key"), request.headers.get("Authorization")))
        if request.path.startswith("/admin/"):
            return web.json_response({"totalRequests": 0, "totalAmount": 0})
        return web.Response(status=404)

    port = free_port()
    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    asking = load(VerifySettings, {"PAYMENT_PROCESSOR_HEADER_DEFAULT": "X-Api-Key: for-default"})
    urls = dict.fromkeys(get_args(ProviderName), f"http://127.0.0.1:{port}")
    provider_records = ProviderRecords(urls, asking.headers, token="123", concurrency=1, rate=1_000)
    try:
        await provider_records.total("default", 0, 1)
        assert await provider_records.record("default", PAYMENT) is None
        assert shown == {("admin", "for-default", None), ("payments", "for-default", None)}
        shown.clear()
        await provider_records.total("fallback", 0, 1)
        assert shown == {("admin", None, None)}
    finally:
        await provider_records.close()
        await runner.cleanup()
