# One image for every service of Tollgate; the command says which. The broker and the proxy have images of their own.

FROM python:3.11-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/tollgate
ENV PATH=/opt/tollgate/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/base.txt requirements/base.txt
RUN pip install --quiet --require-hashes --requirement requirements/base.txt
COPY requirements/build.txt requirements/build.txt
COPY pyproject.toml README.md ./
COPY services services
# The build's own tools live in a second environment, and stay behind with it.
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --quiet --require-hashes --requirement requirements/build.txt \
    && /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /build/wheels . \
    && pip install --quiet --no-deps /build/wheels/*.whl \
    && pip uninstall --quiet --yes pip setuptools \
    && python -m compileall -q /opt/tollgate

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin tollgate \
    && install -d -o tollgate -g tollgate /data
COPY --from=build /opt/tollgate /opt/tollgate
# Bytecode is compiled above, and the root filesystem may be read-only.
# One heap for all threads: each further one keeps what it has freed.
ENV PATH=/opt/tollgate/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 MALLOC_ARENA_MAX=1 DATA_DIR=/data
USER tollgate
VOLUME /data
ENTRYPOINT []
CMD ["gateway", "run"]
