#!/usr/bin/env bash
# The sample through two image servers: starts them, renders, checks what was delivered, stops them.
#   SGLANG_IMAGE=... deployments/try.sh compose     on this host, with Docker and two GPUs; pictures stay in try/
#   deployments/try.sh kubernetes                   in the cluster of kubectl, by kubernetes-servers.yaml
#   deployments/try.sh render SERVERS FOLDER        only the sample, with the packshot that is on the path
# LOOKS=2 renders the first two looks alone.
set -euo pipefail

fail() {
    echo "try.sh: $1" >&2
    exit 2
}

render() {
    local campaign=$2/campaign.yaml
    # An installation's Prefect server has nothing to do with it.
    unset PREFECT_API_URL PREFECT_API_AUTH_STRING
    packshot init "$2"
    sed -i "s|^model: proof\$|model: {name: klein-4b, server: \"$1\"}|" "$campaign"
    grep -q '^model: {' "$campaign" || fail "the sample has no line 'model: proof'"
    packshot render "$campaign" ${LOOKS:+--limit "$LOOKS"}
    packshot verify --deep "$campaign"
}

compose() {
    local folder=$PWD/../try
    [[ -n ${SGLANG_IMAGE:-} ]] || fail "SGLANG_IMAGE is not set; sglang.Dockerfile says what it must be"
    command -v docker >/dev/null || fail "docker is not installed"
    [[ ! -e $folder ]] || fail "the folder try/ is there already; move it away"
    mkdir "$folder"
    chmod 777 "$folder" # the worker is another user
    export CAMPAIGNS=$folder
    # A project of its own: an installation on this host stays as it is. Weights are kept for the next try.
    tool=(docker compose --project-name packshot-try --env-file .env.example --profile servers)
    trap '"${tool[@]}" down' EXIT
    "${tool[@]}" build images-a worker-cpu
    "${tool[@]}" up --detach --wait --wait-timeout 3900 images-a images-b
    "${tool[@]}" run --rm --no-deps --no-TTY --volume "$folder:/try" --env LOOKS="${LOOKS:-}" worker-cpu \
        bash -s render "http://images-a:30000, http://images-b:30000" /try/sample <try.sh
}

kubernetes() {
    local name host=packshot-images
    command -v kubectl >/dev/null || fail "kubectl is not installed"
    tool=(kubectl --namespace "${NAMESPACE:-packshot}")
    for name in statefulset/packshot-images deployment/packshot-worker; do
        [[ -z $("${tool[@]}" get "$name" --ignore-not-found --output name) ]] || fail "$name runs already"
    done
    trap '"${tool[@]}" delete --filename kubernetes-servers.yaml' EXIT
    "${tool[@]}" apply --filename kubernetes-servers.yaml
    "${tool[@]}" rollout status statefulset/packshot-images --timeout 65m
    "${tool[@]}" rollout status deployment/packshot-worker --timeout 10m
    "${tool[@]}" exec --stdin deployment/packshot-worker -- env LOOKS="${LOOKS:-}" \
        bash -s render "http://$host-0.$host:30000, http://$host-1.$host:30000" /tmp/sample <try.sh
}

case "${1:-} $#" in
"render 3") render "$2" "$3" ;;
"compose 1" | "kubernetes 1")
    cd "$(dirname "${BASH_SOURCE[0]}")"
    "$1"
    ;;
*) fail "one of: compose, kubernetes, render SERVERS FOLDER" ;;
esac
