# The last stage is one image for every service of Tollgate; the command chooses the service. Broker and proxy (`--target
# broker`, `edge`) are the published images with a user of their own, who owns the folders that volumes are mounted on.

ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm
ARG NATS_IMAGE=nats:2.15.1-alpine
ARG CADDY_IMAGE=caddy:2.11.7-alpine

FROM ${NATS_IMAGE} AS broker
COPY tools/timer-slack /usr/local/bin/timer-slack
ENTRYPOINT ["timer-slack"]
# A new volume gets the owner of the folder that it is mounted on.
RUN for user in gateway processor projector operator console; do mkdir -p /credentials/$user; done \
    && mkdir -p /data && chmod 0700 /data && chown -R 10002:10002 /data /credentials
USER 10002:10002

FROM ${CADDY_IMAGE} AS edge
COPY tools/timer-slack /usr/local/bin/timer-slack
ENTRYPOINT ["timer-slack"]
RUN mkdir -p /data /config && chown -R 10003:10003 /data /config && chmod 0700 /data /config
USER 10003:10003

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
RUN python -m venv /opt/tollgate
ENV PATH=/opt/tollgate/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/base.txt requirements/base.txt
RUN pip install --quiet --require-hashes --requirement requirements/base.txt
COPY requirements/build.txt requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY services services
COPY src src
# The build tools are in a second environment, which is not copied into the image.
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --quiet --require-hashes --requirement requirements/build.txt \
    && /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /build/wheels . \
    && pip install --quiet --no-deps /build/wheels/*.whl \
    && pip uninstall --quiet --yes pip setuptools \
    && python -m compileall -q /opt/tollgate

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin tollgate \
    && install -d -m 0700 -o tollgate -g tollgate /data /archive
COPY --from=build /opt/tollgate /opt/tollgate
# Bytecode is compiled above, and the root filesystem may be read-only.
# One heap for all threads, because each further heap keeps the memory that it has freed.
ENV PATH=/opt/tollgate/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 MALLOC_ARENA_MAX=1 DATA_DIR=/data
USER tollgate
VOLUME /data
ENTRYPOINT []
CMD ["gateway", "run"]
