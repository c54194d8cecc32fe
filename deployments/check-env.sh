#!/bin/sh
# Refuses, in one line, to start an installation with the passwords of .env.example; the first service of compose.yaml.
set -eu

refuse() {
    echo "error: deployments/.env: $1: $2; \`sh deployments/make-env.sh\` makes passwords" >&2
    exit 2
}

for name in PREFECT_AUTH DATABASE_PASSWORD STORE_USER STORE_PASSWORD; do
    value=
    eval "value=\${$name:-}"
    case $value in
    '') refuse "$name" "is not set" ;;
    *change-me*) refuse "$name" "is still the placeholder of .env.example" ;;
    esac
done

case $PREFECT_AUTH in
?*:?*) ;;
*) refuse PREFECT_AUTH "is not USER:PASSWORD" ;;
esac

# It becomes part of an address.
case $DATABASE_PASSWORD in
*[!A-Za-z0-9._~-]*) refuse DATABASE_PASSWORD "holds other characters than letters, digits and . _ ~ -" ;;
esac
