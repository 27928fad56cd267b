# syntax=docker/dockerfile:1
# The server and what it needs to run, nothing else. It listens on every address of its container, so
# everyone signs in; AUTH=open would let everyone who reaches it do everything.
#
#   docker build --tag messaging-api .
#   docker run --publish 127.0.0.1:8080:8080 messaging-api

FROM rust:1.95-slim-bookworm AS builder
# For the allocator, which is built by its makefile.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
# Dependencies and their builds stay in the caches, so that a change of ours compiles ours alone.
# Cargo goes by the time of a file, and one from an older checkout may look older than the cache:
# touched, it counts as new.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    touch src/lib.rs src/main.rs \
    && cargo build --locked --release \
    && cp target/release/messaging-api /usr/local/bin/

FROM debian:bookworm-slim
# A fixed number: who runs this image can give a folder to it, and see that it is not root.
RUN groupadd --system --gid 10001 messaging \
    && useradd --system --uid 10001 --gid messaging --no-create-home --shell /usr/sbin/nologin messaging \
    && install --directory --owner=messaging --group=messaging /var/lib/messaging-api/data
COPY --from=builder /usr/local/bin/messaging-api /usr/local/bin/
USER 10001:10001
# Where nothing else is said, the data is in ./data/messaging.db.
WORKDIR /var/lib/messaging-api
VOLUME /var/lib/messaging-api/data
ENV HOST=0.0.0.0 PORT=8080
EXPOSE 8080
# The server commits and answers what it has accepted, then ends.
STOPSIGNAL SIGTERM
# The image has no HTTP client; bash itself can ask.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$PORT && printf 'GET /health/ready HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]
ENTRYPOINT ["messaging-api"]
