#!/bin/sh
# In the certbot container: ask for a certificate until there is one of ACME_SERVER's, then look twice a day whether to
# renew it.
set -u
umask 027
trap 'exit 0' TERM
while :; do
    if grep -qsxF "server = $ACME_SERVER" "/etc/letsencrypt/renewal/$DOMAIN.conf"; then
        certbot renew --quiet --webroot --webroot-path /var/www/acme
        pause=43200
    # Where there is one of another server's, it is replaced.
    elif certbot certonly --non-interactive --agree-tos --email "$EMAIL" --domain "$DOMAIN" --cert-name "$DOMAIN" \
        --server "$ACME_SERVER" --force-renewal --webroot --webroot-path /var/www/acme --key-type ecdsa; then
        pause=43200
    else
        echo "no certificate for $DOMAIN from $ACME_SERVER yet: does the name point to this server, and is port 80 open?" \
            "Trying again in an hour, or at once after: docker compose restart certbot" >&2
        pause=3600
    fi
    # nginx runs as another user of the group 101.
    chgrp -R 101 /etc/letsencrypt/live /etc/letsencrypt/archive 2>/dev/null
    chmod -R g+rX /etc/letsencrypt/live /etc/letsencrypt/archive 2>/dev/null
    sleep "$pause" &
    wait $!
done
