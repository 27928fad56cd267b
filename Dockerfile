# syntax=docker/dockerfile:1
# An image with the server and its runtime dependencies only. The server listens on every address of its
# container, so callers must sign in: AUTH=open would give every caller full access.
#
#   docker build --tag messaging-api .
#   docker run --publish 127.0.0.1:8080:8080 messaging-api

FROM rust:1.95-slim-bookworm AS builder
# The allocator is built with make.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
# The caches keep compiled dependencies, so that a change of the source compiles only this project.
# Cargo compares modification times, and a file from an older checkout may look older than the cache.
# touch makes cargo compile it again.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    touch src/lib.rs src/main.rs \
    && cargo build --locked --release \
    && cp target/release/messaging-api /usr/local/bin/

FROM debian:bookworm-slim
# A fixed user id, so that an operator can give a mounted folder to it and see that it is not root.
RUN groupadd --system --gid 10001 messaging \
    && useradd --system --uid 10001 --gid messaging --no-create-home --shell /usr/sbin/nologin messaging \
    && install --directory --owner=messaging --group=messaging /var/lib/messaging-api/data
COPY --from=builder /usr/local/bin/messaging-api /usr/local/bin/
USER 10001:10001
# The default location of the database is ./data/messaging.db.
WORKDIR /var/lib/messaging-api
VOLUME /var/lib/messaging-api/data
ENV HOST=0.0.0.0 PORT=8080
EXPOSE 8080
# On SIGTERM the server commits and answers every accepted request, then exits.
STOPSIGNAL SIGTERM
# The image has no HTTP client, so bash sends the request.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$PORT && printf 'GET /health/ready HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]
ENTRYPOINT ["messaging-api"]
