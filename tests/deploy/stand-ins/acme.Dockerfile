# certbot where its own image cannot be pulled, from Debian's package; and Pebble, which issues certificates as Let's
# Encrypt does, for tests. It asks for a name's proof on port 8080, where nginx listens inside the network.
FROM python:3.11-slim
# hadolint ignore=DL3008
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends certbot pebble >/dev/null && \
    rm -rf /var/lib/apt/lists/*
COPY pebble.json /etc/pebble.json
# It neither dawdles nor refuses at random, as it does to try clients out.
ENV PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0
CMD ["pebble", "-config", "/etc/pebble.json"]
