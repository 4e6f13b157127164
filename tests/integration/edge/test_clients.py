"""Common clients with their default settings pay through the edge."""

import asyncio
import shutil
import uuid
from pathlib import Path

import pytest

from tests.support.edge import Edge
from tests.support.raw_http import payment

PAY_JAVA = Path(__file__).parents[2] / "support" / "java" / "Pay.java"


async def _output(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


@pytest.mark.skipif(shutil.which("java") is None, reason="no java: the JDK's own client cannot be tried")
async def test_a_jdk_client_pays_with_its_defaults(edge: Edge) -> None:
    ids = [str(uuid.uuid4()) for _ in range(3)]
    bodies = [payment(one).decode()[:-1] + ',"note":"José"}' for one in ids]
    output = await _output("java", str(PAY_JAVA), f"http://127.0.0.1:{edge.http_port}/payments", *bodies)
    assert output.splitlines() == [f"202 /payments/{one}" for one in ids]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
async def test_curl_pays_when_asked_for_http_2(edge: Edge) -> None:
    url, media = f"http://127.0.0.1:{edge.http_port}/payments", "Content-Type: application/json"
    command = ("curl", "--silent", "--http2", "--write-out", "%{http_code}", "--header", media)
    assert await _output(*command, "--data", payment(str(uuid.uuid4())).decode(), url) == "202"
