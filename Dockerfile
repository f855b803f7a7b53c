# syntax=docker/dockerfile:1

# The build needs Rust and a C compiler alone: the web UI is committed as built files.
FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release -p tinpot-cli \
    && install -D target/release/tinpot /out/tinpot

# Python runs the actions; its version is that of the actions' packages.
FROM python:3.13-slim-bookworm
RUN groupadd --system --gid 10001 tinpot \
    && useradd --system --uid 10001 --gid tinpot --home-dir /var/lib/tinpot tinpot \
    && install -d -o tinpot -g tinpot /var/lib/tinpot /srv/actions
COPY --from=build /out/tinpot /usr/local/bin/tinpot
# Loopback inside a container admits nothing: publish the port to the addresses that may use it, and
# set TINPOT_INSECURE_NO_AUTH=true, without which a coordinator refuses to listen there.
ENV HOST=0.0.0.0 \
    PORT=8000 \
    TINPOT_STORE=/var/lib/tinpot/tinpot.db \
    ACTIONS_DIR=/srv/actions
USER tinpot
WORKDIR /var/lib/tinpot
VOLUME ["/var/lib/tinpot"]
EXPOSE 8000
# Of the coordinator. A worker has no port: its container switches the check off.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s \
    CMD ["tinpot", "queues", "list", "--json"]
ENTRYPOINT ["tinpot"]
CMD ["coordinator", "--embedded-broker"]
