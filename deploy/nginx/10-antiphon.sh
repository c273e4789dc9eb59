#!/bin/sh
# Runs in the nginx container before nginx does: fills in the configuration, puts the certificate in place, and keeps
# looking for a newer one. Let's Encrypt's is taken when there is one, else the self-signed one. A change is loaded
# without dropping a call.
set -eu

live=/etc/letsencrypt/live/${DOMAIN:?DOMAIN is not set: write it into deploy/.env}
own=/certificates

# shellcheck disable=SC2016
# Only these names: $host and its like are nginx's own.
names='${DOMAIN} ${RESOLVER} ${OPERATOR_NETWORK} ${HSTS_SECONDS} ${CONNECTIONS_PER_ADDRESS} ${REQUESTS_PER_SECOND} ${TICKETS_PER_SECOND} ${PORT_SUFFIX}'
# What browsers add to the name when the port is not the usual one.
case ${HTTPS_PORT:-443} in 443) PORT_SUFFIX='' ;; *) PORT_SUFFIX=:$HTTPS_PORT ;; esac
export PORT_SUFFIX
mkdir -p /tmp/conf.d
envsubst "$names" </etc/antiphon/antiphon.conf.template >/tmp/conf.d/antiphon.conf

choose() {
    for from in "$live" "$own"; do
        if [ -s "$from/fullchain.pem" ] && [ -s "$from/privkey.pem" ]; then
            echo "$from"
            return
        fi
    done
    return 1
}

install_certificate() {
    mkdir -p /tmp/tls
    umask 077
    cp "$1/fullchain.pem" /tmp/tls/fullchain.pem.new
    cp "$1/privkey.pem" /tmp/tls/privkey.pem.new
    mv /tmp/tls/fullchain.pem.new /tmp/tls/fullchain.pem
    mv /tmp/tls/privkey.pem.new /tmp/tls/privkey.pem
}

from=$(choose) || {
    echo "no certificate in $live or $own: did the service 'certificate' fail? Its log says why." >&2
    exit 1
}
install_certificate "$from"
echo "certificate: $from"

(
    while sleep "${CERTIFICATE_CHECK_SECONDS:-30}"; do
        from=$(choose) || continue
        if ! cmp -s "$from/fullchain.pem" /tmp/tls/fullchain.pem; then
            install_certificate "$from"
            if nginx -t -q; then
                nginx -s reload && echo "certificate: $from, loaded"
            else
                echo "certificate: $from is not usable, see above; nginx goes on with the one it has" >&2
            fi
        fi
    done
) &
