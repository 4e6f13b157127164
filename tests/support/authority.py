"""A certificate authority for tests and a certificate that it signed, made as in docs/how-to/tls.md."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True, slots=True)
class Authority:
    """Paths of PEM files. The certificate is for its names, as a server and as a client."""

    ca: str
    certificate: str
    key: str


def make_authority(folder: Path, names: Sequence[str] = ("localhost",)) -> Authority:
    """Skips the test where there is no openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    folder.mkdir(parents=True)
    ca, ca_key, request = folder / "ca.pem", folder / "ca.key", folder / "broker.csr"
    certificate, key, extensions = folder / "broker.pem", folder / "broker.key", folder / "extensions"
    alternatives = ",".join(["IP:127.0.0.1", *(f"DNS:{name}" for name in names)])
    extensions.write_text(f"subjectAltName={alternatives}\nextendedKeyUsage=serverAuth,clientAuth\n")
    _openssl("req", "-x509", *_KEY, "-days", "1", "-subj", "/CN=authority", "-keyout", ca_key, "-out", ca)
    _openssl("req", *_KEY, "-subj", "/CN=nats", "-keyout", key, "-out", request)
    signed = ("-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "1", "-extfile", extensions, "-out", certificate)
    _openssl("x509", "-req", "-in", request, *signed)
    return Authority(str(ca), str(certificate), str(key))


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
