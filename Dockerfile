# syntax=docker/dockerfile:1
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG BUILD=docker
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.build=${BUILD}" -o /g4fagent ./cmd/g4fagent

# Postgres and the event store are services of their own here, so the image holds
# the program, certificates, and nothing that runs as root.
FROM debian:12.12-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl git \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --create-home --home-dir /var/lib/g4fagent g4fagent
COPY --from=build /g4fagent /usr/local/bin/g4fagent
USER g4fagent
VOLUME /var/lib/g4fagent
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD curl -fsS http://127.0.0.1:8000/livez || exit 1
ENTRYPOINT ["g4fagent"]
CMD ["serve", "--host", "0.0.0.0", "--data-dir", "/var/lib/g4fagent"]
