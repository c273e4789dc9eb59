#!/bin/sh
# In the certbot container: ask for a certificate until there is one, then look twice a day whether to renew it.
set -u
umask 027
while :; do
    if [ -d "/etc/letsencrypt/live/$DOMAIN" ]; then
        certbot renew --quiet --webroot --webroot-path /var/www/acme
        pause=43200
    elif certbot certonly --non-interactive --agree-tos --email "$EMAIL" --domain "$DOMAIN" \
        --webroot --webroot-path /var/www/acme --key-type ecdsa; then
        pause=43200
    else
        echo "no certificate for $DOMAIN yet: does it point to this server, and is port 80 open? Trying again in an hour." >&2
        pause=3600
    fi
    # nginx runs as another user of the group 101.
    chgrp -R 101 /etc/letsencrypt/live /etc/letsencrypt/archive 2>/dev/null
    chmod -R g+rX /etc/letsencrypt/live /etc/letsencrypt/archive 2>/dev/null
    sleep "$pause" &
    wait $!
done
