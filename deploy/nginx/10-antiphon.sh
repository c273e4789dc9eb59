#!/bin/sh
# Runs in the nginx container before nginx does: fills in the configuration, puts a certificate in place, and keeps
# looking for a newer one. Taken is the first pair that nginx can use: Let's Encrypt's, yours, the self-signed one. A
# change is loaded without dropping a call; a pair that is no use is told of once, and nginx goes on with what it has.
set -eu

live=/etc/letsencrypt/live/${DOMAIN:?DOMAIN is not set: write it into deploy/.env}
yours=/certificates
self_signed=/certificates/self-signed
# The certificate that is served (not its key), for the assistant: it tells of its end.
shown=/served

# Has nginx read these lines of a configuration, and nothing else.
nginx_takes() {
    cat >/tmp/tls/try.conf <<EOF
pid /tmp/tls/try.pid;
error_log stderr emerg;
events {}
http {
    access_log off;
    client_body_temp_path /tmp/nginx-body;
    proxy_temp_path /tmp/nginx-proxy;
    fastcgi_temp_path /tmp/nginx-fastcgi;
    uwsgi_temp_path /tmp/nginx-uwsgi;
    scgi_temp_path /tmp/nginx-scgi;
    $1
}
EOF
    nginx -t -q -c /tmp/tls/try.conf
}

# Whoever wrote it finds it by the name of its line: nginx would tell of a line that nobody wrote.
refuse() {
    echo "$1 in deploy/.env: '$2' is $3" >&2
    exit 1
}
whole() {
    case $2 in
        '' | *[!0-9]* | ??????????*) refuse "$1" "$2" "no whole number; expected one like $3" ;;
    esac
    [ "$2" -ge "${4:-1}" ] || refuse "$1" "$2" "too small; expected ${4:-1} or more"
}
check_settings() {
    whole HTTPS_PORT "$HTTPS_PORT" 443
    whole HSTS_SECONDS "$HSTS_SECONDS" 31536000 0
    whole CONNECTIONS_PER_ADDRESS "$CONNECTIONS_PER_ADDRESS" 50
    whole REQUESTS_PER_SECOND "$REQUESTS_PER_SECOND" 20
    whole TICKETS_PER_SECOND "$TICKETS_PER_SECOND" 5
    whole CERTIFICATE_CHECK_SECONDS "$CERTIFICATE_CHECK_SECONDS" 30
    nginx_takes "resolver $RESOLVER;" 2>/dev/null ||
        refuse RESOLVER "$RESOLVER" "no name service; expected its address, as 127.0.0.11"
    for network in $(networks "$OPERATOR_NETWORK"); do
        nginx_takes "allow $network;" 2>/dev/null ||
            refuse OPERATOR_NETWORK "$network" "no network; expected such as 198.51.100.7/32, with commas between several"
    done
    for network in $(networks "$PROXY_NETWORK"); do
        nginx_takes "set_real_ip_from $network;" 2>/dev/null ||
            refuse PROXY_NETWORK "$network" "no network; expected such as 173.245.48.0/20, with commas between several"
    done
    case $PROXY_HEADER in
        '' | *[!A-Za-z0-9-]*) refuse PROXY_HEADER "$PROXY_HEADER" "no name of a header; expected one like X-Forwarded-For" ;;
    esac
}
networks() { echo "$1" | tr ',' ' '; }

fill_in() {
    # What browsers add to the name when the port is not the usual one.
    case $HTTPS_PORT in 443) PORT_SUFFIX='' ;; *) PORT_SUFFIX=:$HTTPS_PORT ;; esac
    OPERATORS=''
    for network in $(networks "$OPERATOR_NETWORK"); do
        OPERATORS="${OPERATORS}allow $network; "
    done
    REAL_IP=''
    for network in $(networks "$PROXY_NETWORK"); do
        REAL_IP="${REAL_IP}set_real_ip_from $network; "
    done
    [ -z "$REAL_IP" ] || REAL_IP="${REAL_IP}real_ip_header $PROXY_HEADER; real_ip_recursive on;"
    # A group of replicas that is looked up again and remembers who failed needs nginx 1.27.3. An older one looks the
    # name up again, too, but asks a replica that hangs again and again.
    version=$(nginx -v 2>&1 | sed 's,.*nginx/\([0-9.]*\).*,\1,')
    # shellcheck disable=SC2046
    if [ "$(printf '%d%03d%03d' $(echo "$version" | tr . ' '))" -ge 1027003 ]; then
        REPLICAS=replicas
        UPSTREAM='upstream replicas { zone replicas 256k; hash $request_id; server assistant:8000 resolve max_fails=1 fail_timeout=5s; }'
    else
        REPLICAS=assistant:8000
        UPSTREAM="# nginx $version: no group that is looked up again"
        echo "nginx $version keeps no memory of replicas that fail; 1.27.3 or newer does" >&2
    fi
    export PORT_SUFFIX OPERATORS REAL_IP REPLICAS UPSTREAM
    # shellcheck disable=SC2016
    # Only these names: $host and its like are nginx's own.
    names='${DOMAIN} ${RESOLVER} ${OPERATORS} ${REAL_IP} ${HSTS_SECONDS} ${CONNECTIONS_PER_ADDRESS} ${REQUESTS_PER_SECOND} ${TICKETS_PER_SECOND} ${PORT_SUFFIX} ${REPLICAS} ${UPSTREAM}'
    envsubst "$names" </etc/antiphon/antiphon.conf.template >/tmp/conf.d/antiphon.conf
}

is_there() { [ -s "$1/fullchain.pem" ] && [ -s "$1/privkey.pem" ]; }
is_served() { cmp -s "$1/fullchain.pem" /tmp/tls/fullchain.pem && cmp -s "$1/privkey.pem" /tmp/tls/privkey.pem; }

# Copies the pair, and has nginx read the copy: a key that belongs to another certificate, half a file and one that may
# not be read all fail here. Only then is it put in place, both files of it.
install_pair() {
    {
        cp "$1/fullchain.pem" "$1/privkey.pem" /tmp/tls/new/ &&
            nginx_takes 'server {
                listen 127.0.0.1:8443 ssl;
                ssl_certificate /tmp/tls/new/fullchain.pem;
                ssl_certificate_key /tmp/tls/new/privkey.pem;
            }' &&
            mv /tmp/tls/new/fullchain.pem /tmp/tls/new/privkey.pem /tmp/tls/
    } 2>/tmp/tls/problem || return 1
    served=$1
    { cp /tmp/tls/fullchain.pem "$shown/new.pem" && chmod 644 "$shown/new.pem" && mv "$shown/new.pem" "$shown/fullchain.pem"; } 2>/dev/null ||
        echo "$shown cannot be written: the assistant will not know when the certificate ends" >&2
}

# Once for each state of the two files.
complain() {
    state="$1 $(cksum "$1/fullchain.pem" "$1/privkey.pem" 2>&1 | tr "\n" " ")"
    grep -qxF "$state" /tmp/tls/told 2>/dev/null && return
    echo "$state" >>/tmp/tls/told
    echo "certificate: the pair in $1 is not used: $(grep -v 'test failed' /tmp/tls/problem | tail -n 1)" >&2
}

# 0 when what is served changed. A pair that was served and is no use now is being exchanged: what nginx has stays.
look() {
    for from in "$live" "$yours" "$self_signed"; do
        is_there "$from" || continue
        if is_served "$from"; then served=$from && return 1; fi
        if install_pair "$from"; then return 0; fi
        complain "$from"
        if [ "$from" = "$served" ]; then return 1; fi
    done
    return 1
}

keep_looking() {
    while sleep "$CERTIFICATE_CHECK_SECONDS"; do
        if look; then
            if nginx -s reload; then echo "certificate: $served, loaded"; fi
        fi
    done
}

mkdir -p /tmp/conf.d /tmp/tls/new
check_settings
fill_in
umask 077
served=''
look || {
    echo "no certificate that nginx can use in $live, $yours or $self_signed: did the service 'certificate' fail? Its log says why." >&2
    exit 1
}
echo "certificate: $served"
# Nothing that fails in there may end it: a certificate that is not renewed is noticed when it is too late.
set +e
keep_looking &
