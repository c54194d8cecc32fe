#!/bin/sh
# Writes deployments/.env: .env.example with a password of its own in place of each `change-me`. Only you may read it.
#   sh deployments/make-env.sh [FILE]
set -eu
umask 077
here=$(dirname "$0")
file=${1:-$here/.env}

if [ -e "$file" ]; then
    echo "make-env.sh: $file is there already; move it away, or change what it says" >&2
    exit 2
fi

# In hex: an address, a shell and compose itself read no character of it as theirs.
password() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

while IFS= read -r line; do
    case $line in
    *=*change-me) line=${line%change-me}$(password) ;;
    esac
    printf '%s\n' "$line"
done <"$here/.env.example" >"$file"
echo "wrote $file"
